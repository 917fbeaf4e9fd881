"""FLAML within the budget."""

from common import answered, fitted, regression, seconds, seed, target, test, train
from flaml import AutoML

y = train.pop(target)
model = AutoML()
model.fit(X_train=train, y_train=y, task="regression" if regression else "classification", time_budget=seconds,
          n_jobs=2, seed=seed, verbose=0)  # fmt: skip
fitted()
if regression:
    answered(model.predict(test), None, model.predict)
else:
    answered(model.predict_proba(test), model.classes_, model.predict_proba)
