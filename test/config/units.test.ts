import { describe, expect, it } from 'vitest';
import { formatSize, parseBlock, parseDuration, parseListen, parseSize } from '../../src/config/units.ts';

describe('sizes', () => {
  it.each([
    ['0', 0],
    [4096, 4096],
    ['10 B', 10],
    ['1KB', 1000],
    ['1KiB', 1024],
    ['1.5MB', 1_500_000],
    ['64 MiB', 67_108_864],
    ['50gb', 50_000_000_000],
    ['2TiB', 2_199_023_255_552],
  ])('%s is %i bytes', (text, bytes) => {
    expect(parseSize(text)).toBe(bytes);
  });

  it.each(['', 'lots', '-1', '1 parsec', '5M B', '1e3', 'NaN', '0x10', '99999999TB'])('%j is none', (text) => {
    expect(parseSize(text)).toBeUndefined();
  });
});

describe('durations', () => {
  it.each([
    ['500ms', 500],
    ['30s', 30_000],
    ['5m', 300_000],
    ['1.5h', 5_400_000],
    ['7 d', 604_800_000],
    [0, 0],
    ['0', 0],
  ])('%s is %i milliseconds', (text, ms) => {
    expect(parseDuration(text)).toBe(ms);
  });

  it.each(['', '30', 30, '5 minutes', '-5m', '1w', '5m 30s'])(
    '%j is none, and a number without unit is none',
    (text) => {
      expect(parseDuration(text)).toBeUndefined();
    },
  );
});

describe('addresses to listen on', () => {
  it.each([
    ['127.0.0.1:5273', '127.0.0.1', 5273],
    ['0.0.0.0:80', '0.0.0.0', 80],
    ['localhost:0', 'localhost', 0],
    ['larder.internal.example.com:443', 'larder.internal.example.com', 443],
    ['[::1]:5273', '::1', 5273],
    ['[::]:5273', '::', 5273],
    [5273, '127.0.0.1', 5273],
    ['5273', '127.0.0.1', 5273],
  ])('%s', (text, host, port) => {
    expect(parseListen(text)).toEqual({ host, port });
  });

  it.each([
    '',
    ':5273',
    '::1:5273',
    '[::1]',
    '[nope]:80',
    '127.0.0.1',
    '127.0.0.1:65536',
    '1.2.3:80',
    'a b:80',
    'http://a:80',
  ])('%j is none', (text) => {
    expect(parseListen(text)).toBeUndefined();
  });
});

describe('address blocks', () => {
  it.each([
    ['10.0.0.0/8', '10.0.0.0/8'],
    ['127.0.0.1', '127.0.0.1/32'],
    ['fd00::/8', 'fd00::/8'],
    ['::1', '::1/128'],
    ['0.0.0.0/0', '0.0.0.0/0'],
  ])('%s', (text, block) => {
    expect(parseBlock(text)).toBe(block);
  });

  it.each(['', '10.0.0/8', '10.0.0.0/33', 'fd00::/129', '10.0.0.0/', '10.0.0.0/8/8', 'localhost'])(
    '%j is none',
    (text) => {
      expect(parseBlock(text)).toBeUndefined();
    },
  );
});

it.each([
  [0, '0 B'],
  [999, '999 B'],
  [1500, '1.5 KB'],
  [999_900, '1 MB'],
  [123_456_789, '123 MB'],
  [5e13, '50 TB'],
])('%i bytes read %s', (bytes, text) => {
  expect(formatSize(bytes)).toBe(text);
});
