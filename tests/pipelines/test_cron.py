import pytest

from pipelines.submission.cron import kfp_cron
from storm_core.errors import InputError


@pytest.mark.parametrize(
    ("given", "made"),
    [
        ("0 2 * * *", "0 0 2 * * *"),
        ("*/15 8-18 * jan,JUL mon-fri", "0 */15 8-18 * jan,JUL mon-fri"),
        ("30 0 9 ? * 2-6", "30 0 9 ? * 2-6"),
        ("  5   4 1/2 * 0 ", "0 5 4 1/2 * 0"),
    ],
)
def test_five_fields_start_at_second_0_and_six_stay(given: str, made: str) -> None:
    assert kfp_cron(given) == made


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("@daily", "got 1 in"),
        ("", "got 0 in"),
        ("0 0 0 * * * *", "got 7 in"),
        ("60 * * * *", "the minute must be of 0 to 59"),
        ("0 24 * * *", "the hour must be of 0 to 23"),
        ("0 0 0 * *", "the day of the month must be of 1 to 31"),
        ("0 0 * 13 *", "the month must be of 1 to 12"),
        ("0 0 * * 7", "the day of the week must be of 0 to 6"),
        ("0 0 * * fri-mon", "the day of the week"),
        ("*/0 * * * *", "the minute"),
        ("a b c d e", "the minute"),
        ("1,,2 * * * *", "the minute"),
        ("*-3 * * * *", "the minute"),
        ("\u0661 * * * *", "the minute"),
    ],
)
def test_nonsense_is_refused_with_the_field(given: str, said: str) -> None:
    with pytest.raises(InputError, match="--schedule") as caught:
        kfp_cron(given)
    assert said in str(caught.value)
