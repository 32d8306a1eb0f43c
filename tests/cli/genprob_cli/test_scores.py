import pytest

from genprob.errors import UsageError
from genprob_cli.scores import settings


def test_settings_stay_texts_and_a_later_train_wins():
    assert settings(["draws=200", "masked.shares=0.5,1"], None) == {"draws": "200", "masked.shares": "0.5,1"}
    assert settings(None, "train.csv") == {"train": "train.csv"}
    assert settings(["train=other.csv"], "train.csv") == {"train": "other.csv"}


@pytest.mark.parametrize("word", ["draws", "=3", " =3"])
def test_what_is_no_setting(word):
    with pytest.raises(UsageError, match=r"masked\.draws=200"):
        settings([word], None)
