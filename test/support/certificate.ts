/** Certificates made while the test runs, so that no key lies in the repository and no program is needed. */
import { generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto';

function der(tag: number, ...contents: Buffer[]): Buffer {
  const content = Buffer.concat(contents);
  if (content.length < 0x80) return Buffer.concat([Buffer.from([tag, content.length]), content]);
  const length = Buffer.from(content.length.toString(16).padStart(content.length > 0xff ? 4 : 2, '0'), 'hex');
  return Buffer.concat([Buffer.from([tag, 0x80 | length.length]), length, content]);
}

const sequence = (...contents: Buffer[]): Buffer => der(0x30, ...contents);
const oid = (hex: string): Buffer => der(0x06, Buffer.from(hex, 'hex'));
const bitString = (bytes: Buffer): Buffer => der(0x03, Buffer.from([0]), bytes);

function utcTime(at: Date): Buffer {
  return der(
    0x17,
    Buffer.from(
      `${at
        .toISOString()
        .replace(/[-:T]|\.\d+/g, '')
        .slice(2, 14)}Z`,
    ),
  );
}

function name(commonName: string): Buffer {
  return sequence(der(0x31, sequence(oid('550403'), der(0x0c, Buffer.from(commonName)))));
}

function pem(label: string, bytes: Buffer): string {
  const lines = bytes.toString('base64').match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`;
}

export interface Certificate {
  readonly cert: string;
  readonly key: string;
}

interface Wanted {
  readonly subject: string;
  readonly issuer: string;
  readonly publicKey: KeyObject;
  readonly signedWith: KeyObject;
  /** May issue others. */
  readonly isAuthority: boolean;
  /** Is for `localhost` and 127.0.0.1. */
  readonly isServer: boolean;
}

function certificate({ subject, issuer, publicKey, signedWith, isAuthority, isServer }: Wanted): string {
  const ecdsaWithSha256 = sequence(oid('2a8648ce3d040302'));
  const names = sequence(der(0x82, Buffer.from('localhost')), der(0x87, Buffer.from([127, 0, 0, 1])));
  const subjectAltName = sequence(oid('551d11'), der(0x04, names));
  const authority = sequence(
    oid('551d13'),
    der(0x01, Buffer.from([0xff])),
    der(0x04, isAuthority ? sequence(der(0x01, Buffer.from([0xff]))) : sequence()),
  );
  const serial = Buffer.concat([Buffer.from([1]), randomBytes(8)]);
  const day = 24 * 60 * 60 * 1000;
  const body = sequence(
    der(0xa0, der(0x02, Buffer.from([2]))),
    der(0x02, serial),
    ecdsaWithSha256,
    name(issuer),
    sequence(utcTime(new Date(Date.now() - day)), utcTime(new Date(Date.now() + 30 * day))),
    name(subject),
    publicKey.export({ type: 'spki', format: 'der' }),
    der(0xa3, sequence(...(isServer ? [subjectAltName] : []), authority)),
  );
  return pem('CERTIFICATE', sequence(body, ecdsaWithSha256, bitString(sign('sha256', body, signedWith))));
}

const keyPair = () => generateKeyPairSync('ec', { namedCurve: 'P-256' });
const pemOf = (key: KeyObject): string => key.export({ type: 'pkcs8', format: 'pem' }).toString();

/** For `localhost` and 127.0.0.1; its own authority. */
export function selfSigned(): Certificate {
  const { privateKey, publicKey } = keyPair();
  const itself = { subject: 'Larder test', issuer: 'Larder test', publicKey, signedWith: privateKey };
  return { cert: certificate({ ...itself, isAuthority: true, isServer: true }), key: pemOf(privateKey) };
}

/** For `localhost` and 127.0.0.1, issued by an authority: some clients take no certificate that is its own. */
export function issued(): Certificate & { readonly ca: string } {
  const [root, server] = [keyPair(), keyPair()];
  const by = { issuer: 'Larder test authority', signedWith: root.privateKey };
  return {
    ca: certificate({ ...by, subject: by.issuer, publicKey: root.publicKey, isAuthority: true, isServer: false }),
    cert: certificate({
      ...by,
      subject: 'localhost',
      publicKey: server.publicKey,
      isAuthority: false,
      isServer: true,
    }),
    key: pemOf(server.privateKey),
  };
}
