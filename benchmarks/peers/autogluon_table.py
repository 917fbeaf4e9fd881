"""AutoGluon's tabular predictor within the budget, with the preset that was asked for, models kept in memory."""

from autogluon.tabular import TabularPredictor
from common import answered, fitted, folder, preset, problem, regression, seconds, target, test, train

predictor = TabularPredictor(label=target, path=f"{folder}/ag", verbosity=0, problem_type=problem)
predictor.fit(train, time_limit=seconds, presets=f"{preset}_quality", num_cpus=2, num_gpus=0)
fitted()
predictor.persist()
if regression:
    answered(predictor.predict(test), None, predictor.predict)
else:
    scores = predictor.predict_proba(test)
    answered(scores.to_numpy(), scores.columns, predictor.predict_proba)
