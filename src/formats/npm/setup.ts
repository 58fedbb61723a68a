/** Settings of the clients that speak to npm registries. */
import type { ClientSetup, Setting, SettingsFile, SetupTarget } from '../../core/client-setup.ts';

function npmrc(settings: readonly Setting[], project?: '.npmrc'): SettingsFile {
  return {
    ...(project && { project }),
    user: (environment) => environment.NPM_CONFIG_USERCONFIG ?? environment.npm_config_userconfig ?? '.npmrc',
    syntax: 'ini',
    settings,
  };
}

function registry({ url }: SetupTarget): Setting {
  return { key: 'registry', value: `${url}/` };
}

/** The reference stays in the file; the client looks the token up when it needs it. */
function token({ url, tokenVariable }: SetupTarget): Setting[] {
  if (tokenVariable === undefined) return [];
  return [{ key: `${url.slice(url.indexOf('//'))}/:_authToken`, value: `\${${tokenVariable}}` }];
}

function npm(target: SetupTarget): SettingsFile[] {
  return [npmrc([registry(target), ...token(target)], '.npmrc')];
}

/** pnpm fills in no variables in a project's file: whoever can commit there could send them anywhere. */
function pnpm(target: SetupTarget): SettingsFile[] {
  const secret = token(target);
  return [npmrc([registry(target)], '.npmrc'), ...(secret.length > 0 ? [npmrc(secret)] : [])];
}

function yarnrc(target: SetupTarget): SettingsFile {
  return {
    project: '.yarnrc',
    user: () => '.yarnrc',
    syntax: 'yarnrc',
    settings: [registry(target)],
  };
}

function yarnrcYml({ url, tokenVariable }: SetupTarget): SettingsFile {
  const { protocol, hostname } = new URL(url);
  return {
    project: '.yarnrc.yml',
    user: () => '.yarnrc.yml',
    syntax: 'yaml',
    settings: [
      { key: 'npmRegistryServer', value: url },
      // Yarn refuses plain http from anybody who is not named here.
      ...(protocol === 'http:' ? [{ key: 'unsafeHttpWhitelist', value: [hostname] }] : []),
      ...(tokenVariable === undefined
        ? []
        : [
            { key: 'npmAuthToken', value: `\${${tokenVariable}}` },
            { key: 'npmAlwaysAuth', value: true },
          ]),
    ],
  };
}

function bunfig({ url, tokenVariable }: SetupTarget): SettingsFile {
  const value = tokenVariable === undefined ? `${url}/` : { url: `${url}/`, token: `$${tokenVariable}` };
  return {
    project: 'bunfig.toml',
    user: (environment) =>
      environment.XDG_CONFIG_HOME ? `${environment.XDG_CONFIG_HOME}/.bunfig.toml` : '.bunfig.toml',
    syntax: 'toml',
    settings: [{ table: 'install', key: 'registry', value }],
  };
}

/** Yarn 1 sends a token for unscoped packages only if told so. */
function yarnClassic(target: SetupTarget): SettingsFile[] {
  const secret = token(target);
  if (secret.length === 0) return [yarnrc(target)];
  return [yarnrc(target), npmrc([registry(target), ...secret, { key: 'always-auth', value: true }], '.npmrc')];
}

export const setups: readonly ClientSetup[] = [
  { client: 'npm', title: 'npm', files: npm },
  { client: 'pnpm', title: 'pnpm', files: pnpm },
  { client: 'yarn', title: 'Yarn, whichever it is', files: (target) => [...yarnClassic(target), yarnrcYml(target)] },
  { client: 'yarn-classic', title: 'Yarn 1', files: yarnClassic },
  { client: 'yarn-berry', title: 'Yarn 2 and later', files: (target) => [yarnrcYml(target)] },
  { client: 'bun', title: 'Bun', files: (target) => [bunfig(target)] },
];
