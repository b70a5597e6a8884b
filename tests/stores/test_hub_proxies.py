"""A proxy that the hub's client cannot use is told in a line, without its address."""

import pytest
from huggingface_hub import close_session

from storm_core.errors import StoreError
from storm_core.stores.references import open_reference


@pytest.mark.parametrize(
    ("variable", "scheme", "reason"),
    [
        ("ALL_PROXY", "socks5", "all_proxy names a SOCKS proxy, which needs the package socksio"),
        ("HTTPS_PROXY", "socks5h", "https_proxy names a SOCKS proxy"),
        ("ALL_PROXY", "socks", "all_proxy names a proxy of scheme 'socks'"),
        ("HTTP_PROXY", "ftp", "http_proxy names a proxy of scheme 'ftp'"),
    ],
)
def test_proxy_that_the_hub_s_client_cannot_use_is_named_without_its_password(
    variable: str, scheme: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    close_session()  # A client that another test made has opened its proxies.
    monkeypatch.setenv(variable, f"{scheme}://team:hunter2@proxy.example:1080")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(StoreError, match=reason) as refused:
        open_reference("hf://org/name@main")
    assert "hunter2" not in str(refused.value) and "proxy.example" not in str(refused.value)
