"""What a node shows and accepts on the port of its peers, seen by TLS itself."""

import hashlib
import socket
import ssl

#: The name in every node's certificate.
SERVER_NAME = "ringkv-node"
#: What an HTTP/2 client says first, and its empty SETTINGS.
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
SECONDS = 5


def fingerprint(der):
    return hashlib.sha256(der).hexdigest()


def fingerprints(pem):
    """Of each certificate of a PEM text."""
    end = "-----END CERTIFICATE-----"
    return [fingerprint(ssl.PEM_cert_to_DER_cert(part.strip() + end)) for part in pem.split(end)[:-1]]


def shown(address):
    """The fingerprint of the certificate that a node shows."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with _connect(address, context) as stream:
        return fingerprint(stream.getpeercert(binary_form=True))


def accepts(address, cert, key):
    """Whether a node lets in who has the certificate in these files."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.load_cert_chain(cert, key)
    try:
        with _connect(address, context) as stream:
            stream.sendall(PREFACE)
            # In TLS 1.3 a client hears only after its handshake that it is refused.
            return bool(stream.recv(1))
    except ssl.SSLError:
        return False
    except ConnectionError:
        return False


def _connect(address, context):
    context.set_alpn_protocols(["h2"])
    host, port = address.rsplit(":", 1)
    return context.wrap_socket(socket.create_connection((host, int(port)), SECONDS), server_hostname=SERVER_NAME)
