import { describe, expect, test } from 'vitest';
import {
  checkSignature,
  createKey,
  publicKeyFile,
  readPublicKey,
  readSecretKey,
  signatureFile,
} from '../../src/bundles/keys.ts';

const text = Buffer.from('what was signed');

describe('a key', () => {
  test('is read as it was written, and names itself the same', () => {
    const { secret, pem } = createKey();
    expect(readSecretKey(pem).public.text).toBe(secret.public.text);
    const read = readPublicKey(publicKeyFile(secret.public));
    expect(read?.id).toBe(secret.public.id);
    expect(secret.public.id).toMatch(/^[0-9A-F]{16}$/);
    expect(readPublicKey(`  ${secret.public.text}\r\n`)?.id).toBe(secret.public.id);
  });

  test.each(['', 'nothing', 'A'.repeat(56), 'untrusted comment: x\n'])('%j is none', (content) => {
    expect(readPublicKey(content)).toBeUndefined();
  });
});

describe('a signature', () => {
  const { secret } = createKey();
  const file = signatureFile(secret, text, 'a comment');

  test('is right for what was signed, by the key that signed', () => {
    expect(checkSignature(file, text, [createKey().secret.public, secret.public]).id).toBe(secret.public.id);
  });

  test.each([
    ['other bytes', file, Buffer.from('What was signed')],
    ['another comment', file.replace('a comment', 'b comment'), text],
    [
      'a signature of nothing',
      file.replace(/\n.+\ntrusted/, `\n${Buffer.alloc(74).toString('base64')}\ntrusted`),
      text,
    ],
    ['no signature', 'x', text],
  ])('is wrong for %s', (_, content, bytes) => {
    expect(() => checkSignature(content, bytes, [secret.public])).toThrow(/signature/);
  });

  test('of a key that nobody trusts says which one it is', () => {
    const other = createKey().secret.public;
    expect(() => checkSignature(file, text, [other])).toThrow(
      `signed by key ${secret.public.id}, which is not trusted (trusted here: ${other.id})`,
    );
    expect(() => checkSignature(file, text, [])).toThrow('no key is trusted here');
  });

  // From the documentation of minisign's library for Rust.
  test('of minisign is understood', () => {
    const key = readPublicKey(
      'untrusted comment: minisign public key\nRWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3\n',
    );
    const minisig = [
      'untrusted comment: signature from minisign secret key',
      'RUQf6LRCGA9i559r3g7V1qNyJDApGip8MfqcadIgT9CuhV3EMhHoN1mGTkUidF/z7SrlQgXdy8ofjb7bNJJylDOocrCo8KLzZwo=',
      'trusted comment: timestamp:1633700835\tfile:test\tprehashed',
      'wLMDjy9FLAuxZ3q4NlEvkgtyhrr0gtTu6KC4KBJdITbbOeAi1zBIYo0v4iTgt8jJpIidRJnp94ABQkJAgAooBQ==',
    ].join('\n');
    expect(key).toBeDefined();
    expect(checkSignature(minisig, Buffer.from('test'), key ? [key] : []).id).toBe('E7620F1842B4E81F');
  });
});
