"""JWTs of operator mode, made by the test itself: the nats jwt library's version 2 format."""

import base64
import hashlib
import json

import nkeys

NO_LIMITS = {"subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": True, "conn": -1,
             "leaf": -1}
USER_LIMITS = {"subs": -1, "data": -1, "payload": -1}
JETSTREAM = {"mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1}


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Signer:
    """A key pair of an operator, an account or a user; the same word gives the same key."""

    KINDS = {"operator": nkeys.PREFIX_BYTE_OPERATOR, "account": nkeys.PREFIX_BYTE_ACCOUNT, "user": nkeys.PREFIX_BYTE_USER}

    def __init__(self, kind, word):
        self.kind = kind
        self.seed = nkeys.encode_seed(hashlib.sha256(f"{kind} {word}".encode()).digest(), self.KINDS[kind])
        self.pair = nkeys.from_seed(self.seed)
        self.key = self.pair.public_key.decode()

    def issue(self, subject, nats, name="n", **claims):
        """The JWT of `subject` (a public key) with these members of its `nats` object."""
        body = {"jti": "x", "iat": 1000, "iss": self.key, "sub": subject, "name": name, **claims,
                "nats": {**nats, "version": 2}}
        text = b64(b'{"typ":"JWT","alg":"ed25519-nkey"}') + "." + b64(json.dumps(body).encode())
        return text + "." + b64(self.pair.sign(text.encode()))

    def operator(self, **nats):
        return self.issue(self.key, {"type": "operator", **nats})

    def account(self, key, limits=None, name="n", exp=None, iat=1000, **nats):
        claims = {"iat": iat} | ({"exp": exp} if exp else {})
        return self.issue(key, {"type": "account", "limits": {**NO_LIMITS, **(limits or {})}, **nats}, name=name, **claims)

    def user(self, user, name="u", exp=None, iat=1000, nbf=None, **nats):
        claims = {"iat": iat} | ({"exp": exp} if exp else {}) | ({"nbf": nbf} if nbf else {})
        return self.issue(user.key, {"type": "user", **USER_LIMITS, **nats}, name=name, **claims)

    def scoped_user(self, user, account, name="u", **nats):
        """Of a scoped signing key: such a user has no claims of its own."""
        return self.issue(user.key, {"type": "user", "issuer_account": account.key, **nats}, name=name)


def creds(path, jwt, user):
    """A credentials file."""
    path.write_text(f"-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n"
                    f"-----BEGIN USER NKEY SEED-----\n{user.seed.decode()}\n------END USER NKEY SEED------\n")
    return str(path)
