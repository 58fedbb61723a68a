import { describe, expect, it } from 'vitest';
import { readRubyYaml } from '../../src/codecs/ruby-yaml.ts';

const read = (text: string): unknown => readRubyYaml(Buffer.from(text));

describe('what Ruby wrote', () => {
  it('is read without its classes', () => {
    const text = `--- !ruby/object:Gem::Specification
name: demo
version: !ruby/object:Gem::Version
  version: 1.10
autorequire:
yes: on
requirement: &one !ruby/object:Gem::Requirement
  none: false
  requirements:
  - - ! '>='
    - !ruby/object:Gem::Version
      version: '0'
again: *one
evil: !ruby/object:Kernel::Anything {}
summary: !binary |-
  Z3LDtsOfZQ==
type: :runtime
name: last
`;
    const requirement = { none: 'false', requirements: [['>=', { version: '0' }]] };
    expect(read(text)).toEqual({
      name: 'last',
      version: { version: '1.10' },
      autorequire: '',
      yes: 'on',
      requirement,
      again: requirement,
      evil: {},
      summary: 'größe',
      type: ':runtime',
    });
  });

  it('is read without the lists that nobody needs, however long', () => {
    const items = Array.from({ length: 20_000 }, (_, i) => `- lib/file_${i}.rb\n`).join('');
    const text = `name: x\nfiles:\n${items}- "lib/a: b.rb"\n- lib/c.rb\n- d\n  e\nauthors:\n- Ada\n- Grace\nz: |\n  files:\n  - f\n`;
    expect(readRubyYaml(Buffer.from(text), { leaveOut: ['files'] })).toMatchObject({
      name: 'x',
      authors: ['Ada', 'Grace'],
      z: 'files:\n- f\n',
    });
    expect(() => read(text)).toThrow('longer than 131072 bytes');
  });

  it('gives nobody a prototype', () => {
    const found = read('__proto__:\n  polluted: yes\n') as object;
    expect(Object.keys(found)).toEqual(['__proto__']);
    expect((found as { polluted?: unknown }).polluted).toBeUndefined();
  });

  const laughs = `a: &a [${'x,'.repeat(20)}]\nb: &b [${'*a,'.repeat(20)}]\nc: &c [${'*b,'.repeat(20)}]\nd: [${'*c,'.repeat(20)}]\n`;
  it.each([
    ['flows without an end', `a: ${'['.repeat(50_000)}`],
    ['lists in lists without an end', `a:\n ${'- '.repeat(50_000)}x`],
    ['maps in maps without an end', Array.from({ length: 2000 }, (_, i) => `${' '.repeat(i)}k:`).join('\n')],
    ['references to references', laughs],
    ['a reference to nothing', 'a: *b'],
    ['two documents', 'a: 1\n---\nb: 2\n'],
    ['a quote without an end', 'a: "b'],
    ['too much', `a: ${'x'.repeat(128 * 1024)}`],
  ])('is not %s', (_what, text) => {
    expect(() => read(text)).toThrow(Error);
  });

  it('is not what is no UTF-8', () => {
    expect(() => readRubyYaml(Buffer.from('a: \xff', 'latin1'))).toThrow();
  });
});
