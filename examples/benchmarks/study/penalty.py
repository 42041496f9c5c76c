"""Logistic regression with a penalty that cross-validation chooses."""

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold


def fit_by_cross_validation(
    features: np.ndarray,
    labels: np.ndarray,
    penalties: list[float],
    *,
    folds: int = 5,
    seed: int = 0,
    scoring: str | None = None,
) -> GridSearchCV:
    """
    Fits to features `(texts, features)` with the best of the inverse `penalties`, by accuracy or another `scoring` of
    scikit-learn. A class with fewer texts than `folds` lowers their number.
    """
    splits = StratifiedKFold(min(folds, np.bincount(labels).min()), shuffle=True, random_state=seed)
    search = GridSearchCV(LogisticRegression(max_iter=1000), {"C": penalties}, scoring=scoring, cv=splits)
    return search.fit(features, labels)
