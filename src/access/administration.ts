/** Changes to an organisation's users, teams, rules, projects and tokens. */
import type { TokenFacts } from '../core/hosting.ts';
import type { Signature } from '../core/journal.ts';
import { Problem } from '../core/problem.ts';
import type { Action } from '../core/repository.ts';
import type { Administration, NewToken } from './access.ts';
import type { AccessChange, TokenRecord } from './changes.ts';
import type { Directory, KnownToken } from './directory.ts';
import type { Identification } from './identification.ts';
import { endOf, type Organisation, type Organisations } from './organisations.ts';
import { hashPassword } from './password.ts';
import { sourceAddress } from './patterns.ts';
import { hashOfToken, newToken, newTokenId, randomText } from './token.ts';

const actions: readonly Action[] = ['read', 'publish', 'delete', 'admin'];
const userName = /^[\w.@+-]{1,100}$/;
const plainName = /^[a-z0-9][a-z0-9._-]{0,99}$/i;
const who = /^(?:everyone|members|team:\S+|user:\S+|ci:[^:\s]+:.+)$/;
const shortestPassword = 8;
const longestPassword = 1024;
const longestDescription = 200;
const mostPatterns = 100;
const longestPattern = 300;
/** Valid tokens of one user; a client that logs in again and again leaves the old ones behind. */
const mostTokens = 1000;

export function createAdministration(
  orgs: Organisations,
  identification: Identification,
  now: () => number,
): Administration {
  const change = async (
    org: string,
    turn: string,
    by: Signature,
    make: (directory: Directory) => AccessChange | undefined,
  ): Promise<void> => {
    const { journal, directory } = await orgs.needed(org);
    await journal.append(turn, by, () => make(directory));
  };

  async function factsOf(token: KnownToken): Promise<TokenFacts> {
    const lastUsedAt = await identification.lastUse(token.id);
    return { ...bare(token), ...(lastUsedAt === undefined ? {} : { lastUsedAt }) };
  }

  return {
    async users(org) {
      const { directory } = await orgs.needed(org);
      return directory.users().map((name) => ({
        name,
        kind: directory.kindOf(name) ?? 'user',
        teams: directory.teamsOf(name),
        hasPassword: directory.password(name) !== undefined,
        from: directory.isConfigured(name) ? 'configuration' : 'journal',
      }));
    },

    createUser(org, { name, service }, by) {
      if (!userName.test(name))
        throw bad(`"${name.slice(0, 100)}" is no user name: letters, digits, "-", ".", "_", "@", "+"`);
      return change(org, `user:${name}`, by, (directory) => {
        if (directory.kindOf(name) !== undefined) throw new Problem('conflict', `${name} is in ${org} already.`);
        return { is: 'user', name, ...(service ? { service } : {}) };
      });
    },

    removeUser(org, name, by) {
      return change(org, `user:${name}`, by, (directory) => {
        if (directory.kindOf(name) === undefined) throw noUser(org, name);
        if (directory.isConfigured(name)) throw configured(`${name} stands`);
        return { is: 'user-gone', name };
      });
    },

    async setPassword(org, name, password, by) {
      if (password !== undefined && (password.length < shortestPassword || password.length > longestPassword)) {
        throw bad(`a password has ${shortestPassword} to ${longestPassword} characters`);
      }
      const hash = password === undefined ? undefined : await hashPassword(password);
      await change(org, `user:${name}`, by, (directory) => {
        if (directory.kindOf(name) === undefined) throw noUser(org, name);
        if (hash === undefined && !directory.hasOwnPassword(name)) return undefined;
        return { is: 'password', user: name, ...(hash === undefined ? {} : { hash }) };
      });
    },

    async teams(org) {
      return (await orgs.needed(org)).directory.teams();
    },

    addMember(org, team, user, by) {
      if (!plainName.test(team)) throw bad(`"${team.slice(0, 100)}" is no name of a team`);
      return change(org, `team:${team}`, by, (directory) => {
        if (directory.kindOf(user) === undefined) throw noUser(org, user);
        return directory.isMemberByJournal(team, user) ? undefined : { is: 'member', team, user };
      });
    },

    removeMember(org, team, user, by) {
      return change(org, `team:${team}`, by, (directory) => {
        if (directory.isMemberByConfiguration(team, user)) throw configured(`${user} stands in team ${team}`);
        if (!directory.isMemberByJournal(team, user)) throw new Problem('not_found', `${user} is not in team ${team}.`);
        return { is: 'member-gone', team, user };
      });
    },

    async rules(org) {
      const { directory } = await orgs.needed(org);
      return directory.rules().map(({ id, rule }) => ({ ...rule, ...(id === undefined ? {} : { id }) }));
    },

    async addRule(org, rule, by) {
      checkWho(rule.who);
      checkActions(rule.may);
      checkPatterns(rule.repositories);
      checkPatterns(rule.names);
      if (rule.claims && !rule.who.every((one) => one.startsWith('ci:'))) throw bad('only CI jobs have claims');
      const { may, repositories, names, claims } = rule;
      const kept = {
        who: rule.who,
        may,
        ...(repositories ? { repositories } : {}),
        ...(names ? { names } : {}),
        ...(claims ? { claims } : {}),
      };
      const id = randomText(12);
      await change(org, `rule:${id}`, by, () => ({ is: 'rule', id, rule: kept }));
      return { ...kept, id };
    },

    removeRule(org, id, by) {
      return change(org, `rule:${id}`, by, (directory) => {
        if (!directory.hasRule(id)) throw new Problem('not_found', `${org} has no rule ${id.slice(0, 100)}.`);
        return { is: 'rule-gone', id };
      });
    },

    async projects(org) {
      const { directory } = await orgs.needed(org);
      return directory.projects().map(({ name, project, from }) => ({ ...project, name, from }));
    },

    setProject(org, name, project, by) {
      if (!plainName.test(name)) throw bad(`"${name.slice(0, 100)}" is no name of a project`);
      const { visibility, source, members, packages } = project;
      if (source !== undefined && sourceAddress(source) === undefined)
        throw bad(`"${source.slice(0, 200)}" is no address of a source project`);
      for (const list of Object.values(members)) checkWho(list, 0);
      for (const pattern of packages)
        if (!/^[^:]+:.+$/.test(pattern)) throw bad('packages are REPOSITORY-PATTERN:NAME-PATTERN');
      checkPatterns(packages);
      return change(org, `project:${name}`, by, (directory) => {
        refuseConfigured(directory, name);
        return {
          is: 'project',
          name,
          project: { visibility, ...(source === undefined ? {} : { source }), members, packages },
        };
      });
    },

    removeProject(org, name, by) {
      return change(org, `project:${name}`, by, (directory) => {
        refuseConfigured(directory, name);
        if (!directory.projects().some((project) => project.name === name)) {
          throw new Problem('not_found', `${org} has no project ${name.slice(0, 100)}.`);
        }
        return { is: 'project-gone', name };
      });
    },

    async tokens(org, user) {
      const { directory } = await orgs.needed(org);
      return Promise.all(
        directory
          .tokens(user)
          .sort((a, b) => (a.createdAt < b.createdAt ? 1 : -1))
          .map(async (token) => ({
            ...(await factsOf(token)),
            state: endOf(token, directory, now())?.state ?? ('valid' as const),
          })),
      );
    },

    async createToken(org, wanted, by) {
      const { journal, directory } = await orgs.needed(org);
      checkActions(wanted.may ?? actions);
      checkPatterns(wanted.repositories);
      checkPatterns(wanted.names);
      if (directory.kindOf(wanted.user) === undefined && wanted.create) {
        await this.createUser(org, { name: wanted.user, service: wanted.create === 'service' }, by).catch(
          (error: unknown) => {
            // Somebody else was faster.
            if (!(error instanceof Problem && error.code === 'conflict')) throw error;
          },
        );
      }
      const token = newToken();
      const record = recordOf(wanted, token, new Date(now()).toISOString(), directory);
      // In turn with what happens to its owner: one of a user who just went must not come back with the next of the name.
      await journal.append(`user:${wanted.user}`, by, () => {
        if (directory.kindOf(wanted.user) === undefined) throw noUser(org, wanted.user);
        const valid = directory.tokens(wanted.user).filter((one) => !endOf(one, directory, now()));
        if (valid.length >= mostTokens) {
          throw new Problem('conflict', `${wanted.user} has ${mostTokens} tokens: revoke some first.`);
        }
        return { is: 'token', token: record };
      });
      return { token, facts: bare(record) };
    },

    async idOfHash(org, hash) {
      return (await orgs.needed(org)).directory.tokenOfHash(hash)?.id;
    },

    async revokeToken(org, id, by) {
      const { journal, directory } = await orgs.needed(org);
      await journal.append(`token:${id}`, by, () => {
        const token = directory.token(id);
        if (!token) throw new Problem('not_found', `${org} has no token ${id.slice(0, 100)}.`);
        return token.revokedAt === undefined ? { is: 'token-gone', id } : undefined;
      });
    },
  };
}

function recordOf(wanted: NewToken, token: string, createdAt: string, directory: Directory): TokenRecord {
  const { user, may, repositories, names, description, expiresAt } = wanted;
  let id = newTokenId();
  while (directory.isUsedId(id)) id = newTokenId();
  return {
    id,
    hash: hashOfToken(token),
    user,
    may: may ?? actions,
    ...(repositories ? { repositories } : {}),
    ...(names ? { names } : {}),
    ...(description === undefined ? {} : { description: description.slice(0, longestDescription) }),
    createdAt,
    ...(expiresAt === undefined ? {} : { expiresAt: new Date(expiresAt).toISOString() }),
  };
}

/** Without its hash. */
function bare(token: KnownToken): TokenFacts {
  const { id, user, description, may, repositories, names, createdAt, expiresAt } = token;
  return {
    id,
    user,
    ...(description === undefined ? {} : { description }),
    may,
    ...(repositories ? { repositories } : {}),
    ...(names ? { names } : {}),
    createdAt,
    ...(expiresAt === undefined ? {} : { expiresAt }),
  };
}

/** Facts about a token of this organisation, its last use included. */
export async function tokenFacts(
  { directory }: Organisation,
  id: string,
  identification: Identification,
): Promise<TokenFacts | undefined> {
  const token = directory.token(id);
  if (!token) return undefined;
  const lastUsedAt = await identification.lastUse(id);
  return { ...bare(token), ...(lastUsedAt === undefined ? {} : { lastUsedAt }) };
}

const bad = (what: string): Problem => new Problem('bad_request', `This can't be done: ${what}.`);
const noUser = (org: string, name: string): Problem =>
  new Problem('not_found', `There is no user ${name.slice(0, 100)} in ${org}.`);
const configured = (what: string): Problem =>
  new Problem('conflict', `${what} in the configuration and can only be taken out there.`);

function refuseConfigured(directory: Directory, name: string): void {
  if (directory.projects().some((project) => project.name === name && project.from === 'configuration')) {
    throw configured(`Project ${name} stands`);
  }
}

function checkWho(list: readonly string[], least = 1): void {
  if (list.length < least) throw bad('a rule is about somebody');
  for (const one of list) {
    if (!who.test(one))
      throw bad(`"${one.slice(0, 100)}" is none of everyone, members, team:NAME, user:NAME, ci:ISSUER:PATTERN`);
  }
}

function checkActions(may: readonly Action[]): void {
  if (may.length === 0 || !may.every((one) => actions.includes(one))) {
    throw bad(`a right is one of ${actions.join(', ')}`);
  }
}

function checkPatterns(patterns: readonly string[] | undefined): void {
  if (!patterns) return;
  if (patterns.length === 0) throw bad('a list of patterns has at least one');
  if (patterns.length > mostPatterns || patterns.some((one) => one === '' || one.length > longestPattern)) {
    throw bad(`there are at most ${mostPatterns} patterns, of ${longestPattern} characters`);
  }
}
