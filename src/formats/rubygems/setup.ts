/** Settings of the clients that install gems. */
import {
  type ClientSetup,
  isPlainRemote,
  type Setting,
  type SettingsFile,
  type SetupTarget,
} from '../../core/client-setup.ts';

/** What Gemfiles name where nobody thought of anything else. */
const usualHost = 'rubygems.org';

/** How Bundler writes the name of a setting, in its files and in the environment (`Bundler::Settings.key_for`). */
function bundlerKey(name: string): string {
  return `BUNDLE_${name.replaceAll('-', '___').replaceAll('.', '__').toUpperCase()}`;
}

/** By the host alone, so that it counts with and without TLS and whatever the end of the address is. */
function mirrors({ url, namespaces }: SetupTarget): Setting[] {
  const hosts = namespaces.length > 0 ? namespaces : [usualHost];
  return hosts.map((host) => ({ key: bundlerKey(`mirror.${host}`), value: `${url}/` }));
}

function bundler(target: SetupTarget): SettingsFile[] {
  return [
    {
      project: '.bundle/config',
      user: ({ BUNDLE_CONFIG, BUNDLE_USER_CONFIG, BUNDLE_USER_HOME }) =>
        BUNDLE_CONFIG || BUNDLE_USER_CONFIG || `${BUNDLE_USER_HOME || '.bundle'}/config`,
      syntax: 'yaml',
      settings: mirrors(target),
    },
  ];
}

function bundlerNotes(target: SetupTarget): string[] {
  const { hostname } = new URL(target.url);
  return [
    ...(target.tokenVariable === undefined
      ? []
      : [
          'Its file would hold the token itself, so Bundler takes it from the environment:',
          `export ${bundlerKey(hostname)}="token:$${target.tokenVariable}"`,
        ]),
    ...withoutTls(target),
  ];
}

function gem({ url }: SetupTarget): SettingsFile[] {
  return [{ user: () => '.gemrc', syntax: 'yaml', settings: [{ key: ':sources', value: [`${url}/`] }] }];
}

function gemNotes(target: SetupTarget): string[] {
  const { url, tokenVariable } = target;
  const { protocol } = new URL(url);
  const rest = url.slice(`${protocol}//`.length);
  return [
    'Sources that stand in the list besides are asked as well: gem sources lists them, gem sources --remove takes one out.',
    ...(tokenVariable === undefined
      ? []
      : [
          'gem knows no place for a token but the address, so this writes it into the file:',
          `gem sources --remove ${url}/ --add "${protocol}//token:$${tokenVariable}@${rest}/"`,
          'To push takes the token in the environment:',
          `GEM_HOST_API_KEY="$${tokenVariable}" gem push --host ${url} FILE.gem`,
        ]),
    ...withoutTls(target),
  ];
}

function withoutTls({ url }: SetupTarget): string[] {
  return isPlainRemote(url) ? ['Without TLS anybody on the way can change what is installed.'] : [];
}

export const setups: readonly ClientSetup[] = [
  { client: 'bundler', title: 'Bundler', files: bundler, notes: bundlerNotes },
  { client: 'gem', title: 'gem', files: gem, notes: gemNotes },
];
