"""The validation passes of a training, at the right steps."""

from storm_core.finetuning.course import Course


def evaluation_steps(total_steps: int, evaluations: int) -> set[int]:
    """The steps after which the validation loss is taken: evenly spread, the last step always among them."""
    return {round(total_steps * part / evaluations) for part in range(1, evaluations + 1)} - {0}


def validation_is_due(course: Course, total_steps: int, evaluations: int) -> bool:
    """Whether the validation loss belongs to where the training stands, and was not taken there yet."""
    due = course.done in evaluation_steps(total_steps, evaluations) | {0}
    return due and all(entry["step"] != course.done for entry in course.validation)
