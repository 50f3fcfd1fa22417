"""Authenticates requests: by a token, or, as GitHub does, by a signature of exactly the bytes sent."""

import hashlib
import hmac
import os

import schemathesis
from requests.auth import AuthBase

WEBHOOK = "/github/webhook"


class Signature(AuthBase):
    def __call__(self, request):
        body = request.body or b""
        body = body.encode() if isinstance(body, str) else body
        digest = hmac.new(os.environ["HOOK_SECRET"].encode(), body, hashlib.sha256)
        request.headers["X-Hub-Signature-256"] = "sha256=" + digest.hexdigest()
        return request


schemathesis.auth.set_from_requests(Signature()).apply_to(path=WEBHOOK)


@schemathesis.auth().skip_for(path=WEBHOOK)
class Token:
    def get(self, case, context):
        return os.environ["CODEX_TOKEN"]

    def set(self, case, data, context):
        case.headers["Authorization"] = f"Bearer {data}"
