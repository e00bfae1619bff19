"""A scikit-learn estimator: python -m hierlearn place examples/sklearn_forest.py."""

from functools import partial

from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

Regressor = partial(RandomForestRegressor, n_estimators=50, min_samples_leaf=2)
Classifier = partial(RandomForestClassifier, n_estimators=50, min_samples_leaf=2)
