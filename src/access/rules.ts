/** Who may do what. Rules add up; nothing is allowed that no rule allows. */
import type { Identity } from '../core/format.ts';
import { type AccessRule, type Action, matchesName, type Repository } from '../core/repository.ts';

function isMeant(who: string, identity: Identity, teams: Readonly<Record<string, readonly string[]>>): boolean {
  if (who === 'everyone') return true;
  const name = identity.name;
  if (name === undefined) return false;
  if (who === 'members') return Object.values(teams).some((members) => members.includes(name));
  if (who.startsWith('team:')) return teams[who.slice(5)]?.includes(name) ?? false;
  return who.startsWith('user:') && who.slice(5) === name;
}

function covers(rule: AccessRule, repository: Repository, identity: Identity): boolean {
  if (rule.repositories && !rule.repositories.some((pattern) => matchesName(pattern, repository.name))) return false;
  return rule.who.some((who) => isMeant(who, identity, repository.teams));
}

/** A rule limited to names allows requests that carry such a name and no others. */
export function mayDo(repository: Repository, identity: Identity, action: Action, name: string | undefined): boolean {
  return repository.access.some(
    (rule) =>
      (rule.may.includes(action) || rule.may.includes('admin')) &&
      covers(rule, repository, identity) &&
      (!rule.names || (name !== undefined && rule.names.some((pattern) => matchesName(pattern, name)))),
  );
}

/** Whether the repository's existence may be known: some rule lets this identity do something in it. */
export function mayKnow(repository: Repository, identity: Identity): boolean {
  return repository.access.some((rule) => rule.may.length > 0 && covers(rule, repository, identity));
}
