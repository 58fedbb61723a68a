import { describe, expect, it } from 'vitest';
import { withLists, withoutLists } from '../../src/commands/settings/json.ts';
import { printed, withoutSettings, withSettings } from '../../src/commands/settings/lines.ts';
import { syntaxes } from '../../src/commands/settings/syntaxes.ts';
import type { EditedFile, Setting } from '../../src/core/client-setup.ts';

type SyntaxName = Exclude<EditedFile['syntax'], 'json'>;

const mark = '# set by larder setup, which takes it back with --undo';
const registry: Setting = { key: 'registry', value: 'http://l/npm/' };
const token: Setting = { key: '//l/npm/:_authToken', value: '$TOKEN' };
const server: Setting = { key: 'npmRegistryServer', value: 'http://l/npm' };
const list: Setting = { key: 'unsafeHttpWhitelist', value: ['l'] };
const mirror: Setting = {
  table: 'settings/mirrors',
  key: 'mirror#larder',
  value: { mirrorOf: '*', url: 'http://l/?a&b' },
};
const mirrors: Setting = { table: 'registry."docker.io"', key: 'mirrors', value: ['l/acme/hub'] };
const bun: Setting = { table: 'install', key: 'registry', value: { url: 'http://l/', token: '$T' } };

const xmlMark = '    <!-- set by larder setup, which takes it back with undo -->';
const mirrorLines =
  '    <mirror>\n      <id>larder</id>\n      <mirrorOf>*</mirrorOf>\n      <url>http://l/?a&amp;b</url>\n    </mirror>';

interface Row {
  readonly name: string;
  readonly syntax: SyntaxName;
  readonly settings: readonly Setting[];
  readonly before: string;
  readonly after: string;
}

const rows: readonly Row[] = [
  {
    name: 'ini: an empty file',
    syntax: 'ini',
    settings: [registry, token],
    before: '',
    after: `${mark}\nregistry=http://l/npm/\n${mark}\n//l/npm/:_authToken=$TOKEN\n`,
  },
  {
    name: 'ini: other lines, comments and spacing',
    syntax: 'ini',
    settings: [registry],
    before: '; mine\nfund = false\n\n@acme:registry=https://a/\n',
    after: `; mine\nfund = false\n\n@acme:registry=https://a/\n${mark}\nregistry=http://l/npm/\n`,
  },
  {
    name: 'ini: a line that is replaced, in its place',
    syntax: 'ini',
    settings: [registry],
    before: 'a=1\n registry = https://old/\nb=2\n',
    after: `a=1\n${mark}\nregistry=http://l/npm/\nb=2\n`,
  },
  {
    name: 'ini: of two lines the last, which is the one that counts',
    syntax: 'ini',
    settings: [registry],
    before: 'registry=https://one/\nregistry=https://two/\n',
    after: `registry=https://one/\n${mark}\nregistry=http://l/npm/\n`,
  },
  {
    name: 'ini: before sections, below which nothing is read',
    syntax: 'ini',
    settings: [registry],
    before: 'a=1\n[section]\nregistry=https://other/\n',
    after: `a=1\n${mark}\nregistry=http://l/npm/\n[section]\nregistry=https://other/\n`,
  },
  {
    name: 'ini: no end of the last line',
    syntax: 'ini',
    settings: [registry],
    before: 'a=1',
    after: `a=1\n${mark}\nregistry=http://l/npm/\n`,
  },
  {
    name: 'ini: line breaks of Windows',
    syntax: 'ini',
    settings: [registry],
    before: 'a=1\r\nregistry=https://old/\r\n',
    after: `a=1\r\n${mark}\r\nregistry=http://l/npm/\r\n`,
  },
  {
    name: 'yarnrc',
    syntax: 'yarnrc',
    settings: [registry],
    before: '# yarn lockfile v1\n\nlastUpdateCheck 1\n"registry" "https://old/"\n',
    after: `# yarn lockfile v1\n\nlastUpdateCheck 1\n${mark}\nregistry "http://l/npm/"\n`,
  },
  {
    name: 'yaml: an empty file',
    syntax: 'yaml',
    settings: [server, list],
    before: '',
    after: `${mark}\nnpmRegistryServer: "http://l/npm"\n${mark}\nunsafeHttpWhitelist:\n  - "l"\n`,
  },
  {
    name: 'yaml: a list that gets longer',
    syntax: 'yaml',
    settings: [list],
    before: 'nodeLinker: pnp\nunsafeHttpWhitelist:\n- a # why\n- "*.b"\nyarnPath: x\n',
    after: `nodeLinker: pnp\n${mark}\nunsafeHttpWhitelist:\n- a # why\n- "*.b"\n- "l"\nyarnPath: x\n`,
  },
  {
    name: 'yaml: a list on one line',
    syntax: 'yaml',
    settings: [list],
    before: 'unsafeHttpWhitelist: [a, "*.b"] # why\n',
    after: `${mark}\nunsafeHttpWhitelist: [a, "*.b", "l"] # why\n`,
  },
  {
    name: 'yaml: an empty list on one line',
    syntax: 'yaml',
    settings: [list],
    before: 'unsafeHttpWhitelist: []\n',
    after: `${mark}\nunsafeHttpWhitelist: ["l"]\n`,
  },
  {
    name: 'yaml: the same key deeper down is another',
    syntax: 'yaml',
    settings: [server],
    before: 'npmScopes:\n  acme:\n    npmRegistryServer: https://a\n',
    after: `npmScopes:\n  acme:\n    npmRegistryServer: https://a\n${mark}\nnpmRegistryServer: "http://l/npm"\n`,
  },
  {
    name: 'toml: an empty file',
    syntax: 'toml',
    settings: [bun],
    before: '',
    after: `[install]\n${mark}\nregistry = { url = "http://l/", token = "$T" }\n`,
  },
  {
    name: 'toml: a table that is there',
    syntax: 'toml',
    settings: [bun],
    before:
      'telemetry = false\n[install]\nfrozenLockfile = true\nregistry = "https://old"\n\n[install.scopes]\nregistry = "x"\n',
    after: `telemetry = false\n[install]\nfrozenLockfile = true\n${mark}\nregistry = { url = "http://l/", token = "$T" }\n\n[install.scopes]\nregistry = "x"\n`,
  },
  {
    name: 'toml: a table that is not there',
    syntax: 'toml',
    settings: [bun],
    before: '[test]\nregistry = "x"\n',
    after: `[test]\nregistry = "x"\n\n[install]\n${mark}\nregistry = { url = "http://l/", token = "$T" }\n`,
  },
  {
    name: 'toml: a list in a table with a dot in its name',
    syntax: 'toml',
    settings: [mirrors],
    before: 'debug = true\n',
    after: `debug = true\n\n[registry."docker.io"]\n${mark}\nmirrors = ["l/acme/hub"]\n`,
  },
  {
    name: 'toml: a list that gets longer, in front',
    syntax: 'toml',
    settings: [mirrors],
    before: '[registry."docker.io"]\n  mirrors = [ "other" ] # why\n',
    after: `[registry."docker.io"]\n  ${mark}\n  mirrors = ["l/acme/hub", "other"] # why\n`,
  },
  {
    name: 'xml: an empty file',
    syntax: 'xml',
    settings: [mirror],
    before: '',
    after: `<settings>\n  <mirrors>\n${xmlMark}\n${mirrorLines}\n  </mirrors>\n</settings>\n`,
  },
  {
    name: 'xml: a root without the list',
    syntax: 'xml',
    settings: [mirror],
    before: '<?xml version="1.0"?>\n<settings xmlns="x">\n  <offline>false</offline>\n</settings>\n',
    after: `<?xml version="1.0"?>\n<settings xmlns="x">\n  <offline>false</offline>\n  <mirrors>\n${xmlMark}\n${mirrorLines}\n  </mirrors>\n</settings>\n`,
  },
  {
    name: 'xml: a list with comments and another element, which comes after ours',
    syntax: 'xml',
    settings: [mirror],
    before:
      '<settings>\n  <mirrors>\n    <!-- <mirror><id>larder</id></mirror> -->\n    <mirror><id>own</id></mirror>\n  </mirrors>\n</settings>\n',
    after: `<settings>\n  <mirrors>\n${xmlMark}\n${mirrorLines}\n    <!-- <mirror><id>larder</id></mirror> -->\n    <mirror><id>own</id></mirror>\n  </mirrors>\n</settings>\n`,
  },
  {
    name: 'xml: an element of the same id, which is replaced in its place',
    syntax: 'xml',
    settings: [mirror],
    before:
      '<settings>\r\n<mirrors>\r\n<mirror><id>own</id></mirror>\r\n    <mirror><id> larder </id></mirror>\r\n</mirrors>\r\n</settings>\r\n',
    after:
      `<settings>\n<mirrors>\n<mirror><id>own</id></mirror>\n${xmlMark}\n${mirrorLines}\n</mirrors>\n</settings>\n`.replaceAll(
        '\n',
        '\r\n',
      ),
  },
  {
    name: 'xml: an empty list that was there stays',
    syntax: 'xml',
    settings: [mirror],
    before: '<settings>\n  <mirrors>\n  </mirrors>\n</settings>\n',
    after: `<settings>\n  <mirrors>\n${xmlMark}\n${mirrorLines}\n  </mirrors>\n</settings>\n`,
  },
];

describe.each(rows)('$name', ({ syntax, settings, before, after }) => {
  const { [syntax]: rules } = syntaxes;

  it('is written', () => {
    expect(withSettings(before, rules, settings)).toBe(after);
  });

  it('is written once only', () => {
    expect(withSettings(after, rules, settings)).toBe(after);
  });

  it('is taken back exactly', () => {
    expect(withoutSettings(after, before, rules, settings)).toEqual({ text: before, kept: [] });
  });

  it('is taken back exactly, also when the address is not known any more', () => {
    const others = settings.map((setting) => ({
      ...setting,
      value: Array.isArray(setting.value) ? setting.value : 'other',
    }));
    expect(withoutSettings(after, before, rules, others).text).toBe(before);
  });

  it('leaves lines alone that came later', () => {
    const comment = '# later';
    const later = after.endsWith('\r\n') ? `${comment}\r\n` : `${comment}\n`;
    const { text } = withoutSettings(`${after}${later}`, before, rules, settings);
    expect(text.endsWith(later)).toBe(true);
    expect(text).not.toContain('set by larder setup');
  });
});

describe('taking back', () => {
  it('removes what was the only content of a file that was not there', () => {
    const text = withSettings('', syntaxes.toml, [bun]);
    expect(withoutSettings(text, undefined, syntaxes.toml, [bun])).toEqual({ text: '', kept: [] });
  });

  it('finds lines whose comments a client has dropped', () => {
    const text = 'fund=false\nregistry=http://l/npm/\n';
    expect(withoutSettings(text, 'registry=https://old/\n', syntaxes.ini, [registry]).text).toBe(
      'fund=false\nregistry=https://old/\n',
    );
    expect(withoutSettings(text, undefined, syntaxes.ini, [registry]).text).toBe('fund=false\n');
  });

  it('leaves what somebody has set since, and says so', () => {
    const text = 'registry=https://mine/\n';
    expect(withoutSettings(text, 'registry=https://old/\n', syntaxes.ini, [registry])).toEqual({
      text,
      kept: ['registry'],
    });
  });

  it('leaves what was like that before', () => {
    const text = 'registry=http://l/npm/\n';
    expect(withSettings(text, syntaxes.ini, [registry])).toBe(text);
    expect(withoutSettings(text, text, syntaxes.ini, [registry])).toEqual({ text, kept: [] });
  });

  it('leaves a list that somebody has added to, and says so', () => {
    const text = `${withSettings('', syntaxes.yaml, [list])}  - "another"\n`;
    expect(withoutSettings(text, undefined, syntaxes.yaml, [list])).toEqual({ text, kept: ['unsafeHttpWhitelist'] });
  });
});

it('a changed address replaces the one before it', () => {
  const first = withSettings('a=1\n', syntaxes.ini, [registry]);
  const second = withSettings(first, syntaxes.ini, [{ ...registry, value: 'http://m/' }]);
  expect(second).toBe(`a=1\n${mark}\nregistry=http://m/\n`);
});

it('what is not understood is an error instead of a broken file', () => {
  expect(() => withSettings('unsafeHttpWhitelist: [\n  a\n]\n', syntaxes.yaml, [list])).toThrow('unsafeHttpWhitelist');
  expect(() => withSettings('[install.registry]\nurl = "x"\n', syntaxes.toml, [bun])).toThrow('[install.registry]');
  expect(() => withSettings('[registry."docker.io"]\nmirrors = [\n  "a",\n]\n', syntaxes.toml, [mirrors])).toThrow(
    'mirrors is written in a way',
  );
});

it.each([
  ['<settings><mirrors></mirrors></settings>\n', '<mirrors> shares a line'],
  ['<settings>\n<mirrors/>\n</settings>\n', '<mirrors/> holds nothing'],
  ['<settings/>\n', '<settings/> holds nothing'],
  ['<settings></settings>\n', '</settings> does not stand on a line of its own'],
  ['<project>\n</project>\n', 'it begins with <project>'],
  ['<settings>\n', '<settings> is not closed'],
  ['<settings>\n</mirrors>\n', '</mirrors> closes nothing'],
  ['<settings>\n< mirrors\n</settings>\n', 'no XML that it understands'],
  ['mine\n', 'no element'],
])('XML that is not understood is an error: %j', (text, message) => {
  expect(() => withSettings(text, syntaxes.xml, [mirror])).toThrow(message);
});

describe('lists in JSON', () => {
  const list = (...value: readonly string[]): Setting => ({ key: 'list', value });

  it.each([
    ['nothing', '', '{\n  "list": ["l"]\n}\n'],
    ['an empty object', '{ }', '{\n  "list": ["l"]\n}'],
    ['one line', '{"a": {"list": 1}, "b": "}"}\n', '{"a": {"list": 1}, "b": "}", "list": ["l"]}\n'],
    ['several lines', '{\n\t"a": [1, {"b": ","}]\n}\n', '{\n\t"a": [1, {"b": ","}],\n\t"list": ["l"]\n}\n'],
    ['an empty list', '{\n  "list": [],\n  "a": "\\""\n}\n', '{\n  "list": ["l"],\n  "a": "\\""\n}\n'],
    ['a list', '{ "list": [\n  "m" ] }\n', '{ "list": ["l", "m"] }\n'],
    ['a list that has it', '{ "list": [\n  "m", "l" ] }\n', '{ "list": [\n  "m", "l" ] }\n'],
  ])('are written into %s and taken back exactly', (_, before, after) => {
    expect(withLists(before, [list('l')])).toBe(after);
    expect(withLists(after, [list('l')])).toBe(after);
    expect(withoutLists(after, before, after)).toEqual({ text: before, kept: [] });
  });

  it.each([
    ['another key', undefined, '{ "list": ["l"], "new": 1 }\n', '{ "new": 1 }\n'],
    ['another key before it', undefined, '{ "new": 1, "list": ["l"] }\n', '{ "new": 1 }\n'],
    ['another entry', undefined, '{ "list": ["l", "n"] }\n', '{ "list": ["n"] }\n'],
    ['another form', undefined, '{"list":["l"]}', ''],
    ['other spacing', '{ "list": [ "m" ] }\n', '{\n  "list": ["l", "m"] }\n', '{\n  "list": [ "m" ] }\n'],
    ['ours out already', undefined, '{ "a": 1 }\n', '{ "a": 1 }\n'],
  ])('leave what came later: %s', (_, before, now, text) => {
    const written = withLists(before ?? '', [list('l')]);
    expect(withoutLists(now, before, written)).toEqual({ text, kept: [] });
  });

  it('leave what is no list any more, and say so', () => {
    const now = '{ "list": "mine" }\n';
    expect(withoutLists(now, undefined, withLists('', [list('l')]))).toEqual({ text: now, kept: ['list'] });
  });

  it.each([
    ['{ "list": "l" }', 'list is no list of texts'],
    ['[]', 'no JSON object'],
    ['# mine', 'no JSON'],
  ])('do not go into %s', (text, message) => {
    expect(() => withLists(text, [list('l')])).toThrow(message);
  });
});

it('settings are printed without marks', () => {
  expect(printed(syntaxes.toml, [bun])).toBe('[install]\nregistry = { url = "http://l/", token = "$T" }\n');
  expect(printed(syntaxes.yaml, [server, list])).toBe(
    'npmRegistryServer: "http://l/npm"\nunsafeHttpWhitelist:\n  - "l"\n',
  );
});
