/**
 * Keys that bundles are signed with: ed25519. The secret one is a PKCS #8 file, as openssl writes it; public keys and
 * signatures are as minisign has them (jedisct1.github.io/minisign, "Signature format"), so that either checks the other.
 */
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  sign,
  verify,
} from 'node:crypto';
import { BundleError } from './format.ts';

export interface PublicKey {
  /** Sixteen hexadecimal digits, as minisign prints them. */
  readonly id: string;
  /** As it stands in a file: algorithm, id and key, in base64. */
  readonly text: string;
  readonly key: KeyObject;
}

export interface SecretKey {
  readonly public: PublicKey;
  readonly key: KeyObject;
}

/** Ed25519 over the text itself, and over its BLAKE2b-512, which is what is written today. */
const plain = 'Ed';
const hashed = 'ED';
const rawBytes = 32;
/** What comes before the raw key in a SubjectPublicKeyInfo of Ed25519 (RFC 8410, section 4). */
const spki = Buffer.from('302a300506032b6570032100', 'hex');

export function createKey(): { readonly secret: SecretKey; readonly pem: string } {
  const { privateKey } = generateKeyPairSync('ed25519');
  const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  return { secret: readSecretKey(pem), pem };
}

/** Throws an Error on what is no Ed25519 key in PEM. */
export function readSecretKey(pem: string): SecretKey {
  const key = createPrivateKey(pem);
  if (key.asymmetricKeyType !== 'ed25519') throw new Error(`it is a key for ${key.asymmetricKeyType}, not for ed25519`);
  const raw = createPublicKey(key).export({ type: 'spki', format: 'der' }).subarray(-rawBytes);
  // Minisign's ids are random; this one can be told from the key.
  const id = createHash('sha256').update(raw).digest().subarray(0, 8);
  return { key, public: publicKey(Buffer.concat([Buffer.from(plain), id, raw])) };
}

/** What a `.pub` file holds. */
export function publicKeyFile({ id, text }: PublicKey): string {
  return `untrusted comment: minisign public key ${id}\n${text}\n`;
}

/** From the content of a `.pub` file, or from its second line alone. `undefined`: it is none. */
export function readPublicKey(content: string): PublicKey | undefined {
  const line = content
    .split('\n')
    .map((one) => one.trim())
    .find((one) => /^[A-Za-z0-9+/]{56}$/.test(one));
  const bytes = Buffer.from(line ?? '', 'base64');
  return bytes.length === 42 && bytes.toString('latin1', 0, 2) === plain ? publicKey(bytes) : undefined;
}

function publicKey(bytes: Buffer): PublicKey {
  return {
    id: idOf(bytes),
    text: bytes.toString('base64'),
    key: createPublicKey({ key: Buffer.concat([spki, bytes.subarray(-rawBytes)]), format: 'der', type: 'spki' }),
  };
}

/** Little-endian, as a number. */
function idOf(bytes: Buffer): string {
  return Buffer.from(bytes.subarray(2, 10)).reverse().toString('hex').toUpperCase();
}

/** A `.minisig` file for a text; `comment` is one line, and signed too. */
export function signatureFile(secret: SecretKey, text: Uint8Array, comment: string): string {
  const signature = sign(null, createHash('blake2b512').update(text).digest(), secret.key);
  const id = Buffer.from(secret.public.text, 'base64').subarray(2, 10);
  const whole = sign(null, Buffer.concat([signature, Buffer.from(comment)]), secret.key);
  const line = Buffer.concat([Buffer.from(hashed), id, signature]).toString('base64');
  return `untrusted comment: signature of a Larder bundle\n${line}\ntrusted comment: ${comment}\n${whole.toString('base64')}\n`;
}

/** Returns the key that signed. Throws a `BundleError` (`signature`) with the reason. */
export function checkSignature(file: string, text: Uint8Array, trusted: readonly PublicKey[]): PublicKey {
  const [, line = '', comment = '', last = ''] = file.split('\n').map((one) => one.replace(/\r$/, ''));
  const bytes = Buffer.from(line, 'base64');
  const algorithm = bytes.toString('latin1', 0, 2);
  const prefix = 'trusted comment: ';
  if (bytes.length !== 74 || ![plain, hashed].includes(algorithm) || !comment.startsWith(prefix)) {
    throw new BundleError('signature', 'the signature is none that minisign or Larder writes');
  }
  const id = idOf(bytes);
  const key = trusted.find((one) => one.id === id);
  if (!key) throw new BundleError('signature', notTrusted(id, trusted));
  const signature = bytes.subarray(10);
  const signed = algorithm === hashed ? createHash('blake2b512').update(text).digest() : text;
  const whole = Buffer.concat([signature, Buffer.from(comment.slice(prefix.length))]);
  if (!verify(null, signed, key.key, signature) || !verify(null, whole, key.key, Buffer.from(last, 'base64'))) {
    throw new BundleError(
      'signature',
      `the signature is wrong: it says that key ${id} made it, and that key did not sign this`,
    );
  }
  return key;
}

export function notTrusted(id: string, trusted: readonly PublicKey[]): string {
  const known =
    trusted.length === 0 ? 'no key is trusted here' : `trusted here: ${trusted.map((one) => one.id).join(', ')}`;
  return `the bundle is signed by key ${id}, which is not trusted (${known}); get that key's .pub file from whoever made the bundle, then larder keys trust FILE`;
}
