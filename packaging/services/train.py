"""Trains a small classifier and writes how it goes where TensorBoard looks.

    python train.py RUN
"""

import sys

from sklearn.datasets import load_iris
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import log_loss
from tensorboard.summary import Writer

iris = load_iris()
model = SGDClassifier(loss="log_loss", random_state=0)
writer = Writer(f"runs/{sys.argv[1]}")

for epoch in range(20):
    model.partial_fit(iris.data, iris.target, classes=[0, 1, 2])
    loss = log_loss(iris.target, model.predict_proba(iris.data))
    writer.add_scalar("loss", loss, step=epoch)
    writer.flush()

writer.close()
