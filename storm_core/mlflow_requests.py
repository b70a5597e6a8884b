"""What a server, or what stands before it, knows of the registry's requests: older ones lack some."""

from typing import TYPE_CHECKING

from storm_core.errors import InputError

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

# How servers that are not MLflow's own answer in JSON what they have no page for, as GitLab does.
_NO_PAGE = "404 Not Found"


class NoAliasesError(InputError):
    """The server has no registry, or one without aliases."""


def check_aliases(client: "MlflowClient", name: str) -> None:
    """Refuse a server on which a version gets no alias, before there is a version.

    Raises:
        NoAliasesError: its registry has no aliases, or it has no registry.
    """
    from mlflow.exceptions import MlflowException

    try:
        # Where only the alias is not there, or the model, the server has a code of its own for that.
        client.get_model_version_by_alias(name, "candidate")
    except MlflowException as error:
        if is_unknown_request(error):
            raise NoAliasesError(
                "the MLflow server has no aliases of registered models, by which `register` tells candidate and "
                "champion; use MLflow 2.3 or later"
            ) from error


def is_unknown_request(error: "MlflowException") -> bool:
    """Whether the server knows no such request: it, or what stands before it, answers with a page that is not there."""
    from mlflow.protos.databricks_pb2 import ENDPOINT_NOT_FOUND, ErrorCode

    return error.error_code == ErrorCode.Name(ENDPOINT_NOT_FOUND) or _NO_PAGE in str(error)


def is_missing(error: "MlflowException") -> bool:
    """Whether the server knows the request, and not what was asked for."""
    from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE, RESOURCE_DOES_NOT_EXIST, ErrorCode

    # SQL registries say of an alias that is not there that the parameter is wrong.
    return error.error_code in {ErrorCode.Name(code) for code in (RESOURCE_DOES_NOT_EXIST, INVALID_PARAMETER_VALUE)}
