/** The part that knows users, tokens and rules, over journals in a folder; several of them in one folder are replicas. */
import { randomBytes } from 'node:crypto';
import { type AccessControl, createAccess, type Fetch } from '../../src/access/access.ts';
import type { AccessSettings, OrgSettings } from '../../src/access/settings.ts';
import type { Repository } from '../../src/core/repository.ts';
import { format as npm } from '../../src/formats/npm/index.ts';
import { openStore } from '../../src/store/store.ts';

export const sealingKey: Uint8Array = randomBytes(32);

export interface AccessScene {
  readonly access: AccessControl;
  close(): Promise<void>;
}

export const noFetch: Fetch = () => Promise.reject(new Error('Nobody is to be asked.'));

type Orgs = Readonly<Record<string, Partial<OrgSettings>>>;

export function settingsOf(orgs: Orgs, more: Partial<AccessSettings> = {}): AccessSettings {
  const empty: OrgSettings = { teams: {}, access: [], users: {}, projects: {} };
  return {
    orgs: Object.fromEntries(Object.entries(orgs).map(([name, org]) => [name, { ...empty, ...org }])),
    issuers: {},
    ...more,
  };
}

export async function openAccess(
  folder: string,
  orgs: Orgs,
  {
    now = Date.now,
    fetch = noFetch,
    ...more
  }: Partial<AccessSettings> & { readonly now?: () => number; readonly fetch?: Fetch } = {},
): Promise<AccessScene> {
  const store = await openStore({ path: folder, index: 'memory', keepFreeBytes: 0, clock: now });
  const access = await createAccess({
    settings: settingsOf(orgs, more),
    openJournal: store.openJournal,
    facts: store.facts('access'),
    sealingKey,
    fetch,
    now,
  });
  return { access, close: () => store.close() };
}

/** As much of a repository as rights are about. */
export function repositoryOf(id: string, more: Partial<Repository> = {}): Repository {
  const [org = '', name = ''] = id.split('/');
  return { id, org, name, format: npm, sources: [], ...more } as unknown as Repository;
}
