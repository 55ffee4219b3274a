"""TLS for SSL_GET: any version, no certificate is verified, our own shown if `SSL` names one.

That nothing is verified is keepalived's rule, even where `SSL` has a `ca`: the file
must be readable, no more.  The handshake shares its time limit with the connection;
of the answer, all must come within one `connect_timeout` after its first byte.  A
server that goes away without close_notify has ended its answer, too, and so has
one that resets the connection: the page is judged by what came.
"""

import contextlib
import ssl
import warnings
from socket import socket
from typing import NamedTuple

from keepalived_py.base.errors import FatalStart
from keepalived_py.model.check_events import Ending, StartCheck
from keepalived_py.model.checks import SslGet, WebCheck
from keepalived_py.model.interfaces import SslSettings
from keepalived_py.probes.connect import Stop, reason
from keepalived_py.probes.fetch import Fetch, Terms
from keepalived_py.probes.page import Page


class Security(NamedTuple):
    """How the connection is secured: `name` is sent as SNI, `compliant` sends close_notify at the end."""

    context: ssl.SSLContext
    name: str | None
    compliant: bool


def context_for(settings: SslSettings | None) -> ssl.SSLContext:
    """What all SSL_GET checks share.  Raises FatalStart if a file of `SSL` cannot be used."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers("DEFAULT")
    # A connection that just ends is told from one that is closed.
    context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    if settings is not None:
        _load(context, settings)
    return context


def _load(context: ssl.SSLContext, settings: SslSettings) -> None:
    if settings.certificate is not None:
        try:
            context.load_cert_chain(settings.certificate, settings.key, lambda: settings.password or "")
        except ssl.SSLError as error:
            # Without a key, keepalived loads a certificate that it never shows.
            if settings.key is not None:
                raise _unusable(
                    "certificate and key", f"{settings.certificate}, {settings.key}", error
                ) from error
        except OSError as error:
            raise _unusable("certificate or key", f"{settings.certificate}, {settings.key}", error) from error
    if settings.ca is not None:
        try:
            context.load_verify_locations(settings.ca)
        except OSError as error:
            raise _unusable("ca", settings.ca, error) from error


def _unusable(what: str, files: str, error: OSError) -> FatalStart:
    return FatalStart(
        f"SSL: {what} ({files}) cannot be loaded: {error.strerror or error}; "
        "SSL_GET needs files in PEM that keepalived-py may read, and the key's password"
    )


def security_for(order: StartCheck, context: ssl.SSLContext) -> Security:
    """What the page wants of TLS."""
    check = order.check
    assert isinstance(check, SslGet)
    url = check.urls[order.part]
    return Security(context, sni_of(check, order.part), check.tls_compliant or url.tls_compliant)


def sni_of(check: WebCheck, part: int) -> str | None:
    """The server name that is sent, if any.  One that is no host name cannot be sent."""
    name = check.sni_name or check.urls[part].virtualhost or check.virtualhost
    if not check.enable_sni or not name or name.startswith(".") or "\0" in name:
        return None
    try:
        return name.encode("idna").decode()
    except UnicodeError:
        return None


class TlsFetch(Fetch):
    """A page under way over TLS."""

    reading_words = "Timeout SSL read"

    def __init__(self, made: socket, terms: Terms, page: Page, security: Security) -> None:
        super().__init__(made, terms, page)
        self._security = security
        self._tls: ssl.SSLSocket | None = None
        self._good_bye = False
        self._reads_again = False

    def connected(self) -> None:
        """The connection stands; the handshake begins, in what is left of the time."""
        try:
            self._tls = self._security.context.wrap_socket(
                self.socket,
                do_handshake_on_connect=False,
                suppress_ragged_eofs=False,
                server_hostname=self._security.name,
            )
        except OSError as error:
            self._fail(error)
            return
        self.socket = self._tls
        self._shake()

    def _shake(self) -> None:
        assert self._tls is not None
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self.when_readable(self._shake)
        except ssl.SSLWantWriteError:
            self.when_writable(self._shake)
        except OSError as error:
            self._fail(error)
        else:
            self._good_bye = self._security.compliant
            self.ask()

    def _fail(self, error: OSError) -> None:
        words = "SSL handshake/communication error connecting to"
        text = (error.reason or "").replace("_", " ").lower() if isinstance(error, ssl.SSLError) else ""
        self.stop(Stop(Ending.WRONG, words, text or reason(error)))

    def receive(self, room: int) -> bytes | Stop | None:
        """As of a plain connection; an answer that breaks off is over."""
        try:
            data = self.socket.recv(room)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return None
        except OSError:
            self._good_bye = False
            return Stop(Ending.CLOSED)
        return data or Stop(Ending.ANSWERED)

    def heard(self) -> None:
        """It makes no difference: all must come in the time of one step."""

    def more(self) -> None:
        """What is deciphered already, the kernel does not tell of."""
        if not self._reads_again:
            self._reads_again = True
            self.later(self._read_again)

    def _read_again(self) -> None:
        self._reads_again = False
        self.read()

    def close(self) -> None:
        """Hang up, with close_notify if that was asked for."""
        if self._good_bye and self._tls is not None:
            with contextlib.suppress(OSError, ValueError):
                self._tls.unwrap()
        super().close()
