import { describe, expect, it } from 'vitest';
import { bodyError, isMisuse, kindOf } from '../../src/upstream/failure.ts';

const failing = (facts: object): Error => Object.assign(new Error(), facts);

describe('an error of the library below', () => {
  it.each([
    ['ECONNREFUSED', 'connect'],
    ['EHOSTUNREACH', 'connect'],
    ['ENETUNREACH', 'connect'],
    ['ETIMEDOUT', 'connect'],
    ['UND_ERR_CONNECT_TIMEOUT', 'connect'],
    ['ENOTFOUND', 'name'],
    ['EAI_AGAIN', 'name'],
    ['ECONNRESET', 'cut'],
    ['EPIPE', 'cut'],
    ['UND_ERR_SOCKET', 'cut'],
    ['UND_ERR_HEADERS_TIMEOUT', 'timeout'],
    ['UND_ERR_BODY_TIMEOUT', 'stalled'],
    ['UND_ERR_HEADERS_OVERFLOW', 'garbled'],
    ['CERT_HAS_EXPIRED', 'tls'],
    ['DEPTH_ZERO_SELF_SIGNED_CERT', 'tls'],
    ['SELF_SIGNED_CERT_IN_CHAIN', 'tls'],
    ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'tls'],
    ['UNABLE_TO_GET_ISSUER_CERT_LOCALLY', 'tls'],
    ['ERR_TLS_CERT_ALTNAME_INVALID', 'tls'],
    ['ERR_SSL_WRONG_VERSION_NUMBER', 'tls'],
    ['ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION', 'tls'],
    ['EPROTO', 'tls'],
    ['UND_ERR_PRX_CONN', 'proxy'],
    ['UND_ERR_PRX_TLS', 'tls'],
    ['UND_ERR_DESTROYED', 'aborted'],
    ['toString', 'connect'],
    ['EWHATEVER', 'connect'],
    [42, 'connect'],
    [undefined, 'connect'],
  ])('with code %s is "%s" before the headers', (code, kind) => {
    expect(kindOf(failing({ code }), 'request')).toBe(kind);
  });

  it.each([undefined, 'EWHATEVER', 'UND_ERR_RES_CONTENT_LENGTH_MISMATCH'])(
    'with code %s within a body means that it was cut',
    (code) => {
      expect(kindOf(failing({ code }), 'body')).toBe('cut');
    },
  );

  it('is told from a mistake of ours', () => {
    expect(isMisuse(failing({ code: 'UND_ERR_INVALID_ARG', message: 'invalid accept header' }))).toBe(true);
    expect(isMisuse(failing({ code: 'UND_ERR_INVALID_ARG', message: 'Proxy Authentication Required (407)' }))).toBe(
      false,
    );
    expect(isMisuse(failing({ code: 'ECONNRESET' }))).toBe(false);
  });
});

it.each([
  ['cut', 'UPSTREAM_CUT'],
  ['stalled', 'UPSTREAM_STALLED'],
  ['garbled', 'UPSTREAM_GARBLED'],
  ['aborted', 'UPSTREAM_ABORTED'],
] as const)('a body that is %s has the code %s and its cause', (kind, code) => {
  const cause = new Error('below');
  expect(bodyError(kind, cause)).toMatchObject({ code, cause });
});
