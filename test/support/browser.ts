/** As much of a browser as forms need: cookies by server, redirects followed, hidden fields sent back. No scripts, as with our pages. */

export interface Shown {
  readonly status: number;
  readonly url: string;
  readonly text: string;
  readonly headers: Headers;
}

export interface Browser {
  open(url: string): Promise<Shown>;
  /** Sends the first form of the last page whose text has `button` in it, with its hidden fields and these. */
  submit(button: string, fields?: Readonly<Record<string, string>>): Promise<Shown>;
  /** By name, of the server of the last page. */
  cookie(name: string): string | undefined;
  setCookie(name: string, value: string): void;
}

export function createBrowser(): Browser {
  const jars = new Map<string, Map<string, string>>();
  let last: Shown | undefined;

  const jarOf = (url: string): Map<string, string> => {
    const { host } = new URL(url);
    const jar = jars.get(host) ?? new Map<string, string>();
    jars.set(host, jar);
    return jar;
  };

  async function go(url: string, init: RequestInit = {}, hops = 0): Promise<Shown> {
    if (hops > 10) throw new Error(`${url} leads on and on.`);
    const jar = jarOf(url);
    const cookie = [...jar].map(([name, value]) => `${name}=${value}`).join('; ');
    const headers = { ...(init.headers as Record<string, string>), ...(cookie === '' ? {} : { cookie }) };
    const response = await fetch(url, { ...init, headers, redirect: 'manual' });
    for (const line of response.headers.getSetCookie()) {
      const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(line) ?? [];
      if (value === '' || /max-age=0/i.test(line)) jar.delete(name);
      else jar.set(name, value);
    }
    const to = response.headers.get('location');
    if (to !== null) {
      await response.arrayBuffer();
      return go(new URL(to, url).href, {}, hops + 1);
    }
    last = { status: response.status, url, text: await response.text(), headers: response.headers };
    return last;
  }

  const page = (): Shown => {
    if (!last) throw new Error('No page is open.');
    return last;
  };

  return {
    open: (url) => go(url),
    async submit(button, fields = {}) {
      const { text, url } = page();
      const form = text.match(/<form[\s\S]*?<\/form>/g)?.find((one) => one.includes(button));
      if (form === undefined) throw new Error(`No form has "${button}" in it:\n${text}`);
      const action = /action="([^"]*)"/.exec(form)?.[1] ?? '';
      const values = new URLSearchParams(fields);
      for (const [, name = '', value = ''] of form.matchAll(/type="hidden" name="([^"]*)" value="([^"]*)"/g)) {
        if (!values.has(name)) values.set(name, value);
      }
      return go(new URL(action, url).href, { method: 'POST', body: values });
    },
    cookie: (name) => jarOf(page().url).get(name),
    setCookie: (name, value) => {
      jarOf(page().url).set(name, value);
    },
  };
}
