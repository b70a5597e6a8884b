"""Copy a directory to or from a bucket the plain way: one file after another, one stream each, hashed as it passes.

    python benchmarks/one_stream.py upload|download DIRECTORY s3://bucket/prefix

What KFP's launcher does with an artifact, with the SHA-256 added that it leaves out. `benchmarks/store.py` runs it.
"""

import hashlib
import sys
from pathlib import Path
from typing import Any

import boto3

BLOCK_BYTES = 1 << 20


def main() -> None:
    direction, directory, uri = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    client = boto3.client("s3")
    if direction == "upload":
        upload(client, directory, bucket, prefix)
    else:
        download(client, directory, bucket, prefix)


def upload(client: Any, directory: Path, bucket: str, prefix: str) -> None:
    for path in sorted(directory.iterdir()):
        # The client reads a body twice, to sign it; a stream may be read once, so the hash is taken first.
        digest = hashlib.sha256()
        with path.open("rb") as stream:
            while block := stream.read(BLOCK_BYTES):
                digest.update(block)
            stream.seek(0)
            client.put_object(
                Bucket=bucket, Key=f"{prefix}/{path.name}", Body=stream, Metadata={"sha256": digest.hexdigest()}
            )


def download(client: Any, directory: Path, bucket: str, prefix: str) -> None:
    directory.mkdir()
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{prefix}/"):
        for listed in page["Contents"]:
            answer = client.get_object(Bucket=bucket, Key=listed["Key"])
            digest = hashlib.sha256()
            with (directory / listed["Key"].rpartition("/")[2]).open("wb") as stream:
                for block in answer["Body"].iter_chunks(BLOCK_BYTES):
                    digest.update(block)
                    stream.write(block)
            if digest.hexdigest() != answer["Metadata"]["sha256"]:
                sys.exit(f"{listed['Key']} was altered")


if __name__ == "__main__":
    main()
