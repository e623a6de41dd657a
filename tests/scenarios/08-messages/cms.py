#!/usr/bin/env python3
"""CMS under a key of a ticket: AuthEnvelopedData (RFC 5083) with AES-256-GCM and one KEK recipient
(RFC 5652 6.2.3). The key is in a file as tbs writes it, identity and key in hex.

cms.py seal KEY        protects standard input, with OpenSSL's libcrypto; DER to standard output
cms.py openssl KEY     opens it, with OpenSSL's libcrypto
cms.py open KEY        opens it, with pyasn1 and python3-cryptography, apart from OpenSSL's CMS
Exit status: 0 done, 1 it cannot be opened.
"""
import ctypes
import ctypes.util
import sys
from pathlib import Path

BINARY = 0x80  # CMS_BINARY
BY_LENGTH = 0  # NID_undef: AES key wrap as long as the key


def read_key(path):
    identity, key = Path(path).read_text().strip().split(":")
    return identity.encode(), bytes.fromhex(key)


class Libcrypto:
    def __init__(self):
        self.lib = ctypes.CDLL(ctypes.util.find_library("crypto"))

    def __getattr__(self, name):
        function = getattr(self.lib, name)
        function.restype = ctypes.c_void_p

        def call(*args):
            return function(*(ctypes.c_void_p(a) if isinstance(a, int) and a > 2**31 else a
                              for a in args))
        return call

    def bio(self, octets):
        return self.BIO_new_mem_buf(octets, len(octets))

    def content(self, bio):
        out = ctypes.create_string_buffer(1 << 20)
        self.lib.BIO_read.restype = ctypes.c_int
        size = self.lib.BIO_read(ctypes.c_void_p(bio), out, len(out))
        return out.raw[:max(size, 0)]

    def octets(self, data):
        """For libcrypto, which frees it."""
        room = self.CRYPTO_malloc(len(data), b"cms.py", 0)
        ctypes.memmove(room, data, len(data))
        return room


def seal(identity, key, text):
    c = Libcrypto()
    cms = c.CMS_AuthEnvelopedData_create(c.EVP_aes_256_gcm())
    if not cms or not c.CMS_add0_recipient_key(cms, BY_LENGTH, c.octets(key), len(key),
                                               c.octets(identity), len(identity), None, None, None):
        raise ValueError("OpenSSL makes no AuthEnvelopedData")
    c.CMS_set_detached(cms, 0)
    out = c.BIO_new(c.BIO_s_mem())
    if not c.CMS_final(cms, c.bio(text), None, BINARY) or not c.i2d_CMS_bio(out, cms):
        raise ValueError("OpenSSL protects nothing")
    return c.content(out)


def open_with_openssl(identity, key, der):
    c = Libcrypto()
    cms = c.d2i_CMS_bio(c.bio(der), None)
    if not cms or not c.CMS_decrypt_set1_key(cms, key, len(key), identity, len(identity)):
        raise ValueError("this key is not for it")
    out = c.BIO_new(c.BIO_s_mem())
    if not c.CMS_decrypt(cms, None, None, None, out, BINARY):
        raise ValueError("it is not authentic")
    return c.content(out)


def open_without(identity, key, der):
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives import keywrap
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    from pyasn1.codec.der.decoder import decode
    from pyasn1.error import PyAsn1Error
    from pyasn1_modules import rfc5083, rfc5084, rfc5652
    try:
        info, _ = decode(der, rfc5652.ContentInfo())
        data, _ = decode(info["content"], rfc5083.AuthEnvelopedData())
        recipient = data["recipientInfos"][0]["kekri"]
        sealed = data["authEncryptedContentInfo"]
        parameters, _ = decode(sealed["contentEncryptionAlgorithm"]["parameters"],
                               rfc5084.GCMParameters())
        if bytes(recipient["kekid"]["keyIdentifier"]) != identity:
            raise ValueError("it is for another key")
        content_key = keywrap.aes_key_unwrap(key, bytes(recipient["encryptedKey"]))
        return AESGCM(content_key).decrypt(bytes(parameters["aes-nonce"]),
                                           bytes(sealed["encryptedContent"]) + bytes(data["mac"]),
                                           None)
    except (PyAsn1Error, InvalidTag, keywrap.InvalidUnwrap) as problem:
        raise ValueError(type(problem).__name__) from problem


def main():
    commands = {"seal": seal, "openssl": open_with_openssl, "open": open_without}
    if len(sys.argv) != 3 or sys.argv[1] not in commands:
        sys.exit(__doc__)
    try:
        out = commands[sys.argv[1]](*read_key(sys.argv[2]), sys.stdin.buffer.read())
    except ValueError as problem:
        sys.exit(f"cms.py: {problem}")
    sys.stdout.buffer.write(out)


main()
