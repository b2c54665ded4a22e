"""The lab's two secrets, each a file of mode 0600 in one folder, made at first use; there is no default to forget.

- `bundle_signing.pem`: Ed25519 key that seals model bundles; its public half, `bundle_signing.pub.pem`, verifies them.
  Training seals; the scoring service reads the public half only.
- `lab.key`: what a caller shows (header `X-Lab-Key`) to change who serves.
"""

import os
import secrets
from contextlib import suppress
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from data.errors import BadInput
from data.partial import partial_of

_SIGNING, _VERIFYING, _LAB = "bundle_signing.pem", "bundle_signing.pub.pem", "lab.key"
_FEWEST_LETTERS = 16


def sign(key_folder: Path, message: bytes) -> bytes:
    """The Ed25519 signature (64 bytes, RFC 8032) of `message`; makes the key pair at first use."""
    file = key_folder / _SIGNING
    if not file.exists():
        _make_key_pair(key_folder)
    key = serialization.load_pem_private_key(file.read_bytes(), password=None)
    if not isinstance(key, Ed25519PrivateKey):
        raise TypeError(f"{_SIGNING} is not an Ed25519 key")
    return key.sign(message)


def is_signed(key_folder: Path, message: bytes, signature: bytes) -> bool:
    """Whether `signature` was made over exactly `message` with this folder's key; False as well when there is no key."""
    file = key_folder / _VERIFYING
    if not file.exists():
        return False
    key = serialization.load_pem_public_key(file.read_bytes())
    if not isinstance(key, Ed25519PublicKey):
        raise TypeError(f"{_VERIFYING} is not an Ed25519 key")
    try:
        key.verify(signature, message)
    except InvalidSignature:
        return False
    return True


def lab_key(key_folder: Path) -> str:
    """The key that allows changing who serves; made at first use. Of workers that start side by side, the first one makes it for all.

    Raises BadInput for a file that holds none.
    """
    file = key_folder / _LAB
    if not file.exists():
        mine = file.with_name(f"{partial_of(file).name}.key")
        _write_once(mine, secrets.token_urlsafe(32).encode())
        with suppress(FileExistsError):
            os.link(mine, file)
        mine.unlink()
    key = file.read_text().strip()
    if len(key) < _FEWEST_LETTERS:
        raise BadInput(
            f"{_LAB} is too short to be a key, which anybody could guess.",
            next_step=f"Delete {_LAB} in {key_folder}; the next start makes one.",
            where=_LAB,
        )
    return key


def _make_key_pair(key_folder: Path) -> None:
    private = Ed25519PrivateKey.generate()
    pem = private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    public = private.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    _write_once(key_folder / _VERIFYING, public)
    _write_once(key_folder / _SIGNING, pem)  # last: its presence says that the pair is whole


def _write_once(file: Path, content: bytes) -> None:
    """Write whole or not at all, readable by the owner only from the first byte on."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    partial = partial_of(file)
    partial.touch(mode=0o600)
    partial.write_bytes(content)
    partial.replace(file)
