import { ConfigError, loadConfig } from '../config/load.ts';
import { withoutCredentials } from '../config/mistakes.ts';
import type { ClientLimitsConfig, Config, SourceConfig } from '../config/settings.ts';
import { formatSize } from '../config/units.ts';
import { checkOptions } from '../site.ts';
import { type Command, configOption, exitCodes, json, jsonOption } from './command.ts';
import { serverUrl } from './server-url.ts';

export const command: Command = {
  name: 'check',
  summary: 'Checks the configuration and says what would run.',
  details:
    'Exits with 2 and names every mistake, as FILE:LINE:COLUMN, if there are any. Secrets are never printed. In a pipeline that has ' +
    'no secrets, --without-secrets passes over what refers to them.',
  options: {
    config: configOption,
    json: jsonOption,
    'without-secrets': {
      type: 'boolean',
      description:
        'Variables of the environment and files that are not here are no mistakes; what refers to them is not checked.',
    },
  },
  async run(input) {
    const { say, environment } = input;
    try {
      const config = await loadConfig(input.text('config'), environment, {
        further: checkOptions,
        withoutSecrets: input.flag('without-secrets'),
      });
      const facts = describe(config);
      if (input.flag('json')) say(json({ ...facts, mistakes: [] }));
      else say(printed(facts, environment.npm_execpath === undefined));
      return exitCodes.done;
    } catch (error) {
      if (!(error instanceof ConfigError) || !input.flag('json')) throw error;
      say(json({ file: error.file, mistakes: error.mistakes }));
      return exitCodes.usage;
    }
  },
};

/** The same command may give another answer below npm, so it says so. */
const npmHint = ' (started by npm, as npm start does, Larder takes over the registry that npm is set to)';

interface Facts {
  readonly file: string;
  readonly url: string;
  readonly listen: string;
  readonly storage: { readonly path: string; readonly maxSizeBytes?: number };
  readonly index: string;
  readonly repositories: readonly {
    readonly name: string;
    readonly format: string;
    readonly url: string;
    readonly sources: readonly string[];
  }[];
  readonly upstreams: readonly {
    readonly name: string;
    readonly url: string;
    readonly from: string;
    readonly credentials?: string;
    readonly proxy?: string;
  }[];
  /** Whose they are, and what they may. */
  readonly limits: Readonly<Record<string, string>>;
  readonly notes: readonly string[];
}

function describe(config: Config): Facts {
  const { host, port } = config.server.listen;
  const url = serverUrl(config.server);
  return {
    file: config.file,
    url,
    listen: host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`,
    storage: {
      path: config.storage.path,
      ...(config.storage.maxSizeBytes !== undefined && { maxSizeBytes: config.storage.maxSizeBytes }),
    },
    index: withoutCredentials(config.index),
    repositories: Object.entries(config.orgs).flatMap(([org, { repositories }]) =>
      Object.entries(repositories).map(([name, { format, sources }]) => ({
        name: `${org}/${name}`,
        format,
        url: `${url}/${org}/${name}/`,
        sources: sources.map(sourceText),
      })),
    ),
    upstreams: Object.values(config.upstreams).map(({ name, url: address, from, auth, proxy }) => ({
      name,
      url: address,
      from,
      ...(auth && { credentials: 'bearer' in auth ? 'bearer token' : `user ${auth.username}` }),
      ...(proxy !== undefined && { proxy: withoutCredentials(proxy) }),
    })),
    limits: limitsOf(config),
    notes: config.notes,
  };
}

/** Those in effect; of orgs, what differs from the server's. */
function limitsOf({ server, orgs }: Config): Record<string, string> {
  const { connections, perAddress, perIdentity } = server.limits;
  const address = limitText(perAddress);
  const found: Record<string, string> = {
    'an address': `${address}, ${perAddress.connections} of ${connections} connections`,
    'an identity': limitText(perIdentity),
  };
  for (const [org, { limits }] of Object.entries(orgs)) {
    const own = {
      [`an address in ${org}`]: [limitText(limits.perAddress), address],
      [`an identity of ${org}`]: [limitText(limits.perIdentity), limitText(perIdentity)],
      [`all of ${org}`]: [limitText(limits.total), limitText({})],
    };
    for (const [who, [text = '', usual]] of Object.entries(own)) if (text !== usual) found[who] = text;
  }
  return found;
}

function limitText({ requests, downloadBytes, uploadBytes, transfers }: ClientLimitsConfig): string {
  const said = [
    ...(requests ? [`${Number(requests.perSecond.toFixed(3))} requests/s (${requests.burst} at once)`] : []),
    ...(transfers === undefined ? [] : [`${transfers} transfers at a time`]),
    ...(downloadBytes === undefined ? [] : [`${formatSize(downloadBytes)}/s down`]),
    ...(uploadBytes === undefined ? [] : [`${formatSize(uploadBytes)}/s up`]),
  ];
  return said.length === 0 ? 'unlimited' : said.join(', ');
}

function sourceText(source: SourceConfig): string {
  const claims = source.claims.length === 0 ? '' : `, alone for ${source.claims.join(', ')}`;
  switch (source.kind) {
    case 'remote':
      return `upstream ${source.upstream}${source.offline ? ', offline' : ''}${claims}`;
    case 'repository':
      return `repository ${source.repository}${claims}`;
    case 'hosted':
      return `hosted here${claims}`;
  }
}

function printed(facts: Facts, withoutNpm: boolean): string {
  const { storage } = facts;
  const limit =
    storage.maxSizeBytes === undefined ? 'as much as the disk holds' : `at most ${formatSize(storage.maxSizeBytes)}`;
  const lines = [
    `Configuration  ${facts.file}`,
    `Listens on     ${facts.listen}`,
    `Address        ${facts.url}`,
    `Stores in      ${storage.path}, ${limit}`,
    `Index          ${facts.index}`,
    '',
    'Repositories',
    ...facts.repositories.flatMap(({ format, url, sources }) => [
      `  ${url}  (${format})`,
      ...sources.map((source) => `    from ${source}`),
    ]),
    '',
    'Upstreams',
    ...facts.upstreams.flatMap(({ name, url, from, credentials, proxy }) => [
      `  ${name}  ${url}`,
      `    address: ${from}${name === 'npmjs' && from === 'well known' && withoutNpm ? npmHint : ''}`,
      ...(credentials === undefined ? [] : [`    credentials: ${credentials}`]),
      ...(proxy === undefined ? [] : [`    proxy: ${proxy}`]),
    ]),
    '',
    'Limits',
    ...Object.entries(facts.limits).map(([who, text]) => `  ${who}  ${text}`),
    ...(facts.notes.length === 0 ? [] : ['', 'Worth knowing', ...facts.notes.map((note) => `  ${note}`)]),
    '',
    'No mistakes.',
  ];
  return lines.join('\n');
}
