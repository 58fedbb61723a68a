import { join } from 'node:path';
import { type AccessControl, type AccessFacts, createAccess } from '../access/access.ts';
import { readOrCreateKey } from '../access/keys.ts';
import { hashOfToken, tokenPattern } from '../access/token.ts';
import { loadConfig } from '../config/load.ts';
import type { Config } from '../config/settings.ts';
import { hint } from '../config/suggest.ts';
import { parseDuration } from '../config/units.ts';
import type { TokenFacts } from '../core/hosting.ts';
import type { Signature } from '../core/journal.ts';
import type { Action } from '../core/repository.ts';
import { disk } from '../store/disk.ts';
import { DiskObjects } from '../store/disk-objects.ts';
import { type Index, indexExists, openIndex } from '../store/index.ts';
import { openJournals } from '../store/journal.ts';
import { StagingArea } from '../store/staging-area.ts';
import { indexOptions, records } from '../store/store.ts';
import { type Command, configOption, exitCodes, type Input, json, jsonOption, UsageError } from './command.ts';

const actions: readonly Action[] = ['read', 'publish', 'delete', 'admin'];
const by: Signature = { by: 'system' };

export const command: Command = {
  name: 'token',
  positionals: 'create|list|revoke [ID]',
  summary: 'Creates, lists and revokes tokens.',
  details: `larder token create --org ORG --user USER prints the token, which is told this once, and nothing else on standard output.
Without limits it may whatever its user may, and does not expire. A user that there is not yet is created.
larder token revoke ID ends one at once. All of it may be done beside a running server, by the same user of the machine.`,
  options: {
    config: configOption,
    org: { type: 'string', value: 'ORG', description: 'Organisation.' },
    user: { type: 'string', value: 'USER', description: 'Who it is for; of a list: whose.' },
    service: { type: 'boolean', description: 'A user who is created is a service account.' },
    may: { type: 'string', value: 'LIST', description: 'No more than these: read,publish,delete,admin.' },
    repositories: { type: 'string', value: 'LIST', description: 'Only in these repositories; * stands for anything.' },
    names: { type: 'string', value: 'LIST', description: 'Only packages of these names; * stands for anything.' },
    expires: { type: 'string', value: 'DURATION', description: 'How long it counts, such as 90d.' },
    description: { type: 'string', value: 'TEXT', description: 'What it is for.' },
    all: { type: 'boolean', description: 'List also those that ended lately.' },
    json: jsonOption,
  },
  async run(input) {
    const [what, ...more] = input.positionals;
    const config = async (): Promise<Config> => loadConfig(input.text('config'), input.environment);
    switch (what) {
      case 'create':
        if (more.length > 0) throw new UsageError(`token create takes no "${more[0]}"; see larder token --help`);
        return withAccess(await config(), (access, facts) => create(input, access, facts));
      case 'list':
        if (more.length > 0) throw new UsageError(`token list takes no "${more[0]}"; see larder token --help`);
        return withAccess(await config(), (access, facts) => list(input, access, facts));
      case 'revoke':
        if (more.length !== 1) throw new UsageError('token revoke takes the id of one token: larder token revoke ID');
        return withAccess(await config(), (access) => revoke(input, access, more[0] ?? ''));
      default:
        throw new UsageError(
          `${what === undefined ? 'token needs to know what to do' : `token knows no "${what}"`}: create, list or revoke ID`,
        );
    }
  },
};

type Configured = Pick<Config, 'file' | 'orgs'>;

/** Journals alone: the store belongs to the server, which may be running. */
async function withAccess(
  config: Config,
  use: (access: AccessControl, config: Configured) => Promise<number>,
): Promise<number> {
  const { path } = config.storage;
  const area = new StagingArea(path, disk);
  const journals = openJournals({
    objects: new DiskObjects({ root: path, disk, temporary: () => area.next() }),
    checkpointEvery: 0,
  });
  const facts = lastUses(config);
  try {
    const access = await createAccess({
      settings: { orgs: config.orgs, issuers: {} },
      openJournal: journals.open,
      facts,
      sealingKey: await readOrCreateKey(join(path, 'keys/sealing')),
      fetch: () => Promise.reject(new Error('No issuer is asked here.')),
      now: Date.now,
    });
    return await use(access, config);
  } finally {
    await journals.settled();
    await facts.close();
    await area.close();
  }
}

interface LastUses extends AccessFacts {
  close(): Promise<void>;
}

/** When tokens were used last stands in the index; without one nobody knows. Nothing is written. */
function lastUses({ storage, index: kind }: Config): LastUses {
  const options = indexOptions({ ...storage, index: kind });
  const open = async (): Promise<Index | undefined> =>
    kind !== 'memory' && (await indexExists(options)) ? openIndex(options) : undefined;
  let opened: Promise<Index | undefined> | undefined;
  return {
    async get(key) {
      opened ??= open();
      const index = await opened;
      return index && records.facts<unknown>(index, 'access').get(key);
    },
    set: () => {},
    delete: () => {},
    close: async () => (await opened)?.close(),
  };
}

async function create(input: Input, access: AccessControl, config: Configured): Promise<number> {
  const org = orgOf(needed(input, 'org', 'ORG'), config);
  const user = needed(input, 'user', 'USER');
  const may = listed(input, 'may');
  for (const one of may ?? []) {
    if (!actions.includes(one as Action)) {
      throw new UsageError(`--may knows no "${one}"; there is ${actions.join(', ')}`);
    }
  }
  const expires = input.text('expires');
  const lifeMs = expires === undefined ? undefined : parseDuration(expires);
  if (expires !== undefined && !lifeMs) throw new UsageError(`--expires ${expires} is no duration; write such as 90d`);
  const known = (await access.administration.users(org)).some(({ name }) => name === user);
  const { token, facts } = await access.administration.createToken(
    org,
    {
      user,
      description: input.text('description'),
      may: may as readonly Action[] | undefined,
      repositories: listed(input, 'repositories'),
      names: listed(input, 'names'),
      expiresAt: lifeMs === undefined ? undefined : Date.now() + lifeMs,
      create: input.flag('service') ? 'service' : 'user',
    },
    by,
  );
  if (!known) input.warn(`larder: ${user} is new in ${org}`);
  input.say(input.flag('json') ? json({ token, ...facts, org }) : token);
  return exitCodes.done;
}

interface Listed extends TokenFacts {
  readonly org: string;
  readonly state: string;
}

async function list(input: Input, access: AccessControl, config: Configured): Promise<number> {
  const org = input.text('org');
  const orgs = org === undefined ? access.orgs : [orgOf(org, config)];
  const all: Listed[] = [];
  for (const one of orgs) {
    const tokens = await access.administration.tokens(one, input.text('user'));
    all.push(...tokens.map((token) => ({ org: one, ...token })));
  }
  const shown = input.flag('all') ? all : all.filter(({ state }) => state === 'valid');
  if (input.flag('json')) input.say(json(shown));
  else if (shown.length === 0) input.say('There are no tokens.');
  else for (const line of table(shown)) input.say(line);
  return exitCodes.done;
}

function table(tokens: readonly Listed[]): string[] {
  const day = (iso: string | undefined, otherwise: string): string => iso?.slice(0, 10) ?? otherwise;
  const rows = [
    ['ID', 'USER', 'MAY', 'FOR', 'EXPIRES', 'LAST USED', 'STATE', 'DESCRIPTION'],
    ...tokens.map(({ id, org, user, may, repositories, names, expiresAt, lastUsedAt, state, description }) => [
      id,
      `${org}/${user}`,
      may.length === actions.length ? 'all' : may.join(','),
      [...(repositories ?? []), ...(names ?? [])].join(' ') || 'all',
      day(expiresAt, 'never'),
      day(lastUsedAt, 'never'),
      state,
      description ?? '',
    ]),
  ];
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
}

async function revoke(input: Input, access: AccessControl, wanted: string): Promise<number> {
  // Whoever finds a token somewhere has no id.
  const isToken = tokenPattern.test(wanted);
  for (const org of access.orgs) {
    const found = isToken
      ? await access.administration.idOfHash(org, hashOfToken(wanted))
      : (await access.administration.tokens(org)).find(({ id }) => id === wanted)?.id;
    if (found === undefined) continue;
    await access.administration.revokeToken(org, found, by);
    input.say(input.flag('json') ? json({ revoked: found, org }) : `Token ${found} of ${org} is revoked.`);
    return exitCodes.done;
  }
  throw new Error(`there is no token ${isToken ? 'like this' : wanted}; larder token list names them`);
}

function needed(input: Input, option: string, value: string): string {
  const given = input.text(option);
  if (given === undefined) throw new UsageError(`token create needs --${option} ${value}`);
  return given;
}

function orgOf(org: string, { orgs, file }: Configured): string {
  if (Object.hasOwn(orgs, org)) return org;
  throw new UsageError(`there is no org "${org}" in ${file}${hint(org, Object.keys(orgs))}`);
}

function listed(input: Input, option: string): string[] | undefined {
  const given = input.text(option);
  if (given === undefined) return undefined;
  const list = given
    .split(',')
    .map((one) => one.trim())
    .filter((one) => one !== '');
  if (list.length === 0) throw new UsageError(`--${option} needs at least one`);
  return list;
}
