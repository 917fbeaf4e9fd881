"""LightGBM with its defaults, categories as such, early stopping on a tenth of the rows."""

import lightgbm
import pandas as pd
from common import answered, fitted, regression, seed, target, test, train
from sklearn.model_selection import train_test_split

y = train.pop(target)
words = {
    name: pd.CategoricalDtype(train[name].dropna().unique()) for name in train if train[name].dtype.kind not in "fiub"
}


def ready(frame):
    return frame[train.columns].astype(words)


parts = train_test_split(ready(train), y, test_size=0.1, random_state=seed, stratify=None if regression else y)
kind = lightgbm.LGBMRegressor if regression else lightgbm.LGBMClassifier
model = kind(n_estimators=2000, n_jobs=2, random_state=seed, verbose=-1)
model.fit(parts[0], parts[2], eval_set=[(parts[1], parts[3])], callbacks=[lightgbm.early_stopping(50, verbose=False)])
fitted()
if regression:
    answered(model.predict(ready(test)), None, lambda row: model.predict(ready(row)))
else:
    answered(model.predict_proba(ready(test)), model.classes_, lambda row: model.predict_proba(ready(row)))
