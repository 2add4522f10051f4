"""TLS of the listener: a server context from the files an operator names, every mistake said in their words."""

from __future__ import annotations

import ssl

from roomguard.errors import ConfigError, ConfigProblem
from roomguard.runtime.settings_listen import ListenSettings


def server_context(settings: ListenSettings) -> ssl.SSLContext | None:
    """The TLS context, None where no certificate is set. Raises ConfigError for files that cannot be used."""
    if settings.cert_file is None and settings.key_file is None and settings.client_ca_file is None:
        return None
    if settings.cert_file is None or settings.key_file is None:
        missing = "cert_file" if settings.cert_file is None else "key_file"
        raise _problem(missing, "TLS needs both listen.cert_file and listen.key_file")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        # An encrypted key would ask on the terminal: an empty answer makes that an error instead of a hang.
        context.load_cert_chain(settings.cert_file, settings.key_file, password=lambda: "")
    except (OSError, ssl.SSLError, ValueError) as error:
        raise _problem("cert_file", f"cannot use {settings.cert_file} with {settings.key_file}: {error}") from None
    if settings.client_ca_file is not None:
        try:
            context.load_verify_locations(settings.client_ca_file)
        except (OSError, ssl.SSLError) as error:
            raise _problem("client_ca_file", f"cannot use {settings.client_ca_file}: {error}") from None
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _problem(key: str, message: str) -> ConfigError:
    return ConfigError([ConfigProblem("config.toml", None, f"listen.{key}", message)])
