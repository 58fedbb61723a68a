/** What clients may take, put together from what the server and the orgs say. */
import type { ConfigFile } from './schema.ts';
import type { ClientLimitsConfig, OrgLimitsConfig } from './settings.ts';

type ServerLimits = ConfigFile['server']['limits'];
type Written = ServerLimits['perIdentity'];

/** So many seconds' worth may come at once where nothing else is said: an install asks for hundreds of things in its first ones. */
const usualBurstSeconds = 10;

/** What is said first wins, option by option; `unlimited` says something, too. */
export function clientLimitsOf(...said: readonly Written[]): ClientLimitsConfig {
  const first = <K extends keyof Written>(key: K): Exclude<Written[K], 'unlimited'> | undefined => {
    const value = said.find((limits) => limits[key] !== undefined)?.[key];
    return value === 'unlimited' ? undefined : (value as Exclude<Written[K], 'unlimited'>);
  };
  const perSecond = first('requests');
  const download = first('download');
  const upload = first('upload');
  const transfers = first('transfers');
  // A burst belongs to the rate that it is said of.
  const from = said.findIndex(({ requests }) => requests !== undefined);
  const burst = said.slice(0, from + 1).find((limits) => limits.burst !== undefined)?.burst;
  return {
    ...(perSecond === undefined
      ? {}
      : { requests: { perSecond, burst: burst ?? Math.max(1, Math.ceil(perSecond * usualBurstSeconds)) } }),
    ...(download === undefined ? {} : { downloadBytes: download }),
    ...(upload === undefined ? {} : { uploadBytes: upload }),
    ...(transfers === undefined ? {} : { transfers }),
  };
}

/** Of an org: its own, and the server's where it says nothing. */
export function limitsOfOrg(org: ConfigFile['orgs'][string]['limits'], server: ServerLimits): OrgLimitsConfig {
  const { connections: _, ...perAddress } = server.perAddress;
  return {
    perAddress: clientLimitsOf(org.perAddress, perAddress),
    perIdentity: clientLimitsOf(org.perIdentity, server.perIdentity),
    total: clientLimitsOf(org.total),
  };
}

/** One address never takes all of them. */
export function connectionsPerAddress({ connections, perAddress }: ServerLimits): number {
  if (perAddress.connections === 'unlimited') return connections;
  return Math.min(connections, perAddress.connections ?? Math.max(1, Math.floor(connections * 0.8)));
}
