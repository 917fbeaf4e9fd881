"""The certificate that a server shows: read with words for what is off, and read again when its files change."""

from __future__ import annotations

import asyncio
import logging
import ssl
from pathlib import Path
from typing import Any, Final

from handrail.core.errors import HandrailError
from handrail.core.files import read_limited
from handrail.serve.stamps import Stamp, stamp_of

log = logging.getLogger("handrail.serve")

LOOK_S: Final = 1.0
MAX_PEM_BYTES: Final = 2**20


class Certificate:
    """A certificate with its chain, and its private key, in two PEM files.

    `context` stays the same while the server runs; `content` is what the two files held when they were read.
    Connections that begin after `look` saw new files are shown the new certificate; those that are open go on with
    theirs. Raises HandrailError that names the file which is off.
    """

    def __init__(self, certificate: Path, key: Path) -> None:
        self.files = (certificate, key)
        self._read = self._seen = self._stamps()
        self.context = self._newest = tls_context(certificate, key)
        self.content = self._contents()
        # Loading a new key into the context in use would leave a key of another kind beside it, and clients might be
        # shown the old certificate until it ends; so each connection is given the newest context as it begins.
        self.context.sni_callback = self._give

    def look(self) -> bool:
        """True when the files changed and what they hold is shown from now on; files that are off change nothing."""
        stamps = self._stamps()
        # Files that have just changed are left to rest until the next look: a key may be about to follow.
        if stamps == self._read or stamps != self._seen:
            self._seen = stamps
            return False
        self._read = stamps
        try:
            self._newest = tls_context(*self.files)
        except HandrailError as error:
            log.error("the certificate stays as it was: %s (%s)", error.problem, error.where)
            return False
        self.content = self._contents()
        log.info("a new certificate is shown: %s", self.files[0])
        return True

    def _contents(self) -> tuple[bytes, bytes]:
        return self.files[0].read_bytes(), self.files[1].read_bytes()

    def _stamps(self) -> tuple[Stamp, Stamp]:
        return stamp_of(self.files[0]), stamp_of(self.files[1])

    def _give(self, connection: Any, name: str | None, context: ssl.SSLContext) -> None:
        connection.context = self._newest


async def renewing(certificate: Certificate) -> None:
    """Keeps up with a certificate that is renewed; it is shown two seconds after its files were written."""
    while True:
        await asyncio.sleep(LOOK_S)
        certificate.look()


def tls_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """TLS 1.2 or newer with this certificate. Raises HandrailError that names the file which is off."""
    _refuse_other_file(certificate, b"CERTIFICATE", "the certificate, with its chain, as a PEM file: --tls-cert")
    _refuse_other_file(key, b"PRIVATE KEY", "the private key as a PEM file: --tls-key")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(certificate, key, password=lambda: "")
    except (ssl.SSLError, OSError, ValueError) as error:
        if getattr(error, "reason", "") == "KEY_VALUES_MISMATCH":
            mend = f"give the key that {certificate} was made with"
            raise HandrailError("data", "the key is not the certificate's", mend, where=str(key)) from None
        problem = "the certificate or its key cannot be read"
        mend = f"openssl x509 -in {certificate} -noout -text, and openssl pkey -in {key} -noout, say more"
        raise HandrailError("data", problem, mend, where=f"{certificate}, {key}") from None
    return context


def _refuse_other_file(path: Path, word: bytes, wanted: str) -> None:
    content = read_limited(path.resolve(), MAX_PEM_BYTES)
    if b"-----BEGIN " not in content or word + b"-----" not in content:
        raise HandrailError("data", f"there is no {word.decode().lower()} in it", f"give {wanted}", where=str(path))
    if b"ENCRYPTED" in content:
        mend = f"openssl pkey -in {path} -out plain.pem, then chmod 600 plain.pem"
        raise HandrailError("data", "the private key wants a password", mend, where=str(path))
