"""A policy in front of a real S3 server: it denies rights as Amazon does, and remembers what was denied."""

from collections.abc import Collection
from dataclasses import dataclass, field
from urllib.parse import parse_qs

from storm_core.stores.s3_rights import RIGHT_OF
from tests.stores.fault_proxy import Exchange, FaultProxy, Request, Response

ALWAYS = 1_000_000
RIGHTS = tuple(dict.fromkeys(RIGHT_OF.values()))
_OF_OBJECTS = {"GET": "GetObject", "HEAD": "HeadObject", "PUT": "PutObject", "DELETE": "DeleteObject"}
_OF_UPLOADS = {
    "GET": "ListParts",
    "PUT": "UploadPart",
    "POST": "CompleteMultipartUpload",
    "DELETE": "AbortMultipartUpload",
}


def operation_of(request: Request) -> str:
    """The name of the request in S3's reference."""
    path, _, query = request.path.partition("?")
    asked = parse_qs(query, keep_blank_values=True)
    if "/" not in path.strip("/"):
        return "ListMultipartUploads" if "uploads" in asked else "ListObjectsV2"
    if "uploadId" in asked:
        return _OF_UPLOADS[request.method]
    return "CreateMultipartUpload" if "uploads" in asked else _OF_OBJECTS[request.method]


@dataclass
class Policy:
    """Denies `denied` rights; `asked` is for what. A `terse` server says no more than that it denies."""

    denied: Collection[str] = ()
    terse: bool = True
    asked: set[str] = field(default_factory=set)

    def stand_before(self, proxy: FaultProxy) -> None:
        """Hold for whatever goes through the proxy from now on."""
        proxy.spoil(self._judge, times=ALWAYS)

    def _judge(self, exchange: Exchange) -> None:
        right = RIGHT_OF[operation_of(exchange.request)]
        self.asked.add(right)
        if right in self.denied:
            self._deny(exchange, right)
            return
        answer = exchange.forward()
        # That something is missing is said to those alone who may list.
        if right == "s3:GetObject" and answer.status == 404 and "s3:ListBucket" in self.denied:
            self._deny(exchange, "s3:ListBucket")
        else:
            exchange.answer(answer)

    def _deny(self, exchange: Exchange, right: str) -> None:
        said = "Access Denied" if self.terse else f"User: arn:aws:iam::1:user/ci is not authorized to perform: {right}"
        body = f"<?xml version='1.0'?><Error><Code>AccessDenied</Code><Message>{said}</Message></Error>".encode()
        is_head = exchange.request.method == "HEAD"
        exchange.answer(
            Response(status=403, headers=[("Content-Type", "application/xml")], body=b"" if is_head else body)
        )
