/** Which proxy the environment wants a URL to go through, by the rules that curl and npm follow. */

type Environment = Readonly<Record<string, string | undefined>>;

function first(environment: Environment, names: readonly string[]): string | undefined {
  return names.map((name) => environment[name]).find((value) => value !== undefined && value !== '');
}

export interface Egress {
  readonly url: string;
  /** The variable it was found in. */
  readonly from: string;
}

export function proxyFromEnvironment(target: URL, environment: Environment): Egress | undefined {
  if (isExcluded(target, first(environment, ['no_proxy', 'NO_PROXY', 'npm_config_noproxy']) ?? '')) return undefined;
  const secure = ['https_proxy', 'HTTPS_PROXY', 'npm_config_https_proxy'];
  const plain = ['http_proxy', 'HTTP_PROXY', 'npm_config_proxy'];
  const names = target.protocol === 'https:' ? secure : plain;
  const from = names.find((name) => environment[name]);
  const value = from === undefined ? undefined : environment[from];
  if (from === undefined || value === undefined) return undefined;
  return { url: value.includes('://') ? value : `http://${value}`, from };
}

/** `*`, `example.com` (also below it), `.example.com`, `*.example.com`, an address, each with or without a port. */
function isExcluded(target: URL, list: string): boolean {
  const host = target.hostname.replace(/^\[|\]$/g, '').toLowerCase();
  const port = target.port || (target.protocol === 'https:' ? '443' : '80');
  return list
    .toLowerCase()
    .split(/[\s,]+/)
    .filter((entry) => entry !== '')
    .some((entry) => {
      if (entry === '*') return true;
      const parts = /^\[?(.*?)\]?(?::(\d+))?$/.exec(
        entry.split(':').length > 2 && !entry.startsWith('[') ? `[${entry}]` : entry,
      );
      if (parts?.[2] !== undefined && parts[2] !== port) return false;
      const name = (parts?.[1] ?? '').replace(/^\*?\./, '');
      return host === name || host.endsWith(`.${name}`);
    });
}
