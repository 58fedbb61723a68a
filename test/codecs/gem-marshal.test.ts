import { execFileSync, spawnSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import {
  readSpecification,
  readSpecTuples,
  type Specification,
  type SpecTuple,
  writeSpecification,
  writeSpecTuples,
} from '../../src/codecs/gem-marshal.ts';
import { specsMarshal } from '../formats/rubygems.samples.ts';

const tuple = (name: string, version: string, platform = 'ruby'): SpecTuple => ({ name, version, platform });

const tuples: readonly SpecTuple[] = [
  tuple('rack', '3.0.9'),
  tuple('rack', '3.0.10'),
  tuple('nokogiri', '1.16.0'),
  tuple('nokogiri', '1.16.0', 'x86_64-linux'),
  tuple('nokogiri', '1.16.0', 'java'),
  tuple('tilt', '2.3.0'),
];

/** Enough for numbers of every length and for references to all of them. */
const many = Array.from({ length: 30_000 }, (_, i) =>
  tuple(`${'n'.repeat(i % 300)}-${i % 7000}`, `${i % 500}.${i % 3}`, i % 5 === 0 ? 'java' : 'ruby'),
);

const hasRuby = spawnSync('ruby', ['--version']).status === 0;

/** Ruby's own view of the bytes. */
function asRuby(bytes: Uint8Array): unknown {
  const script =
    'require "json"; puts Marshal.load($stdin.binmode.read).map { |n, v, p| [n, v.class.name, v.to_s, p] }.to_json';
  return JSON.parse(execFileSync('ruby', ['-rrubygems', '-e', script], { input: bytes, maxBuffer: 1e9 }).toString());
}

const hex = (...parts: readonly string[]): Buffer => Buffer.from(`0408${parts.join('')}`, 'hex');

describe('a list of versions', () => {
  it('is read as Ruby writes it', () => {
    expect([...readSpecTuples(specsMarshal)]).toEqual(tuples);
  });

  it('is written as Ruby writes it', () => {
    // Ruby was given one version object for each gem; the text it is made of is not shared by its own doing.
    expect([...readSpecTuples(writeSpecTuples(tuples))]).toEqual(tuples);
    expect(Buffer.from(writeSpecTuples(tuples.slice(0, 2))).toString('hex')).toBe(
      '04085b075b084922097261636b063a064554553a1147656d3a3a56657273696f6e5b0649220a332e302e39063b00544922097275627906' +
        '3b00545b084007553b065b0649220b332e302e3130063b0054400b',
    );
  });

  it('of any length comes back', () => {
    expect([...readSpecTuples(writeSpecTuples(many))]).toEqual(many);
    expect([...readSpecTuples(writeSpecTuples([]))]).toEqual([]);
  });

  it.skipIf(!hasRuby)('is the same to Ruby', () => {
    expect(asRuby(writeSpecTuples(many))).toEqual(
      many.map(({ name, version, platform }) => [name, 'Gem::Version', version, platform]),
    );
  });

  it('may leave platforms out', () => {
    const without = specsMarshal.toString('latin1').replace('I"\trub' + 'y\x06;\x00T', '0');
    expect(() => [...readSpecTuples(Buffer.from(without, 'latin1'))]).toThrow('reference');
    expect([...readSpecTuples(hex('5b065b0822066155', '3a1147656d3a3a56657273696f6e', '5b06220631', '30'))]).toEqual([
      tuple('a', '1'),
    ]);
  });

  it('that ends anywhere is none', () => {
    for (let end = 0; end < specsMarshal.length; end++) {
      expect(() => [...readSpecTuples(specsMarshal.subarray(0, end))], `${end} bytes`).toThrow(Error);
    }
  });

  it.each([
    ['another version of Marshal', Buffer.from('04095b00', 'hex')],
    ['too long a list', hex('5b04ffffff7f')],
    ['a list of negative length', hex('5bfa')],
    ['a list of pairs', hex('5b065b07')],
    ['a list of objects', hex('5b066f3a0b4f626a65637400')],
    ['a reference to what comes later', hex('5b065b084009')],
    ['a reference to a list', hex('5b065b084000')],
    ['a symbol by a number that there is not', hex('5b065b08220661553b0a')],
    ['a version of another class', hex('5b065b08220661553a0b4b65726e656c5b06220631')],
    ['a text as long as memory', hex('5b065b082204ffffff7f')],
    ['a text with an object for its encoding', hex('5b065b0849220661063a06456f')],
  ])('is not %s', (_name, bytes) => {
    expect(() => [...readSpecTuples(bytes)]).toThrow(Error);
  });
});

describe('a specification', () => {
  it.skipIf(!hasRuby)('tells name and version, as Ruby writes it', () => {
    const script = 'print Marshal.dump(Gem::Specification.new { |s| s.name = "größe"; s.version = "1.0.b1" })';
    const bytes = execFileSync('ruby', ['-Ku', '-rrubygems', '-e', script]);
    expect(readSpecification(bytes)).toEqual({ name: 'größe', version: '1.0.b1' });
    const withEncoding = Buffer.concat([bytes.subarray(0, 2), Buffer.from('I'), bytes.subarray(2)]);
    expect(readSpecification(withEncoding)).toEqual({ name: 'größe', version: '1.0.b1' });
  });

  it('is not a list', () => {
    expect(() => readSpecification(specsMarshal)).toThrow('Gem::Specification');
  });

  const specification: Specification = {
    name: 'größe',
    version: '1.0.b1',
    platform: 'x86_64-linux',
    platformParts: ['x86_64', 'linux', null],
    rubygemsVersion: '3.3.15',
    date: '2031-12-09',
    summary: 'Groß',
    email: ['a@example.com', 'b@example.com'],
    authors: ['Ada', 'Grace'],
    licenses: [],
    metadata: { source_code_uri: 'https://example.com/x', ['k'.repeat(300)]: 'v'.repeat(700) },
    requiredRuby: [
      ['>=', '2.5'],
      ['<', '4'],
    ],
    requiredRubygems: [['>=', '0']],
    dependencies: [
      { name: 'rack', type: 'runtime', requirement: [['~>', '2.0']] },
      { name: 'rspec', type: 'development', requirement: [['>=', '0']] },
    ],
  };

  it('is read as it was written', () => {
    expect(readSpecification(writeSpecification(specification))).toEqual({ name: 'größe', version: '1.0.b1' });
  });

  it.skipIf(!hasRuby)('is the same to Ruby', () => {
    const script = `require "json"; s = Marshal.load($stdin.binmode.read)
      puts [s.name, s.version.to_s, s.platform.to_a, s.original_platform, s.date.strftime("%F %T %Z"), s.summary, s.description,
        s.email, s.authors, s.licenses, s.metadata, s.required_ruby_version.to_s, s.required_rubygems_version.to_s, s.homepage,
        s.dependencies.map { |d| [d.name, d.type.to_s, d.requirement.to_s] }].to_json`;
    const input = writeSpecification(specification);
    const told = JSON.parse(execFileSync('ruby', ['-rrubygems', '-e', script], { input, maxBuffer: 1e9 }).toString());
    expect(told).toEqual([
      'größe',
      '1.0.b1',
      ['x86_64', 'linux', null],
      'x86_64-linux',
      '2031-12-09 00:00:00 UTC',
      'Groß',
      null,
      specification.email,
      specification.authors,
      [],
      specification.metadata,
      '>= 2.5, < 4',
      '>= 0',
      null,
      [
        ['rack', 'runtime', '~> 2.0'],
        ['rspec', 'development', '>= 0'],
      ],
    ]);
  });
});
