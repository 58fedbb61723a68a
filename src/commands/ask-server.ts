/** Commands that ask a running server: where it is, what is shown to it, and what it says. */
import { loadConfig } from '../config/load.ts';
import { type Input, type Option, UsageError } from './command.ts';
import { serverUrl } from './server-url.ts';

const patienceMs = 15_000;

export const urlOption: Option = {
  type: 'string',
  value: 'URL',
  description: 'Of the server; else the one that the configuration describes.',
};
export const tokenOption: Option = {
  type: 'string',
  value: 'TOKEN',
  description: 'What to show; better in LARDER_TOKEN.',
};

export interface AskedServer {
  /** No trailing slash. */
  readonly url: string;
  readonly token: string | undefined;
}

/** The server that is meant, and what is shown to it. */
export async function serverOf(input: Input): Promise<AskedServer> {
  const { environment } = input;
  const url = input.text('url') ?? serverUrl((await loadConfig(input.text('config'), environment)).server);
  if (!URL.canParse(url) || !/^https?:/.test(url)) throw new UsageError(`--url ${url} is no http or https address`);
  const token = input.text('token') ?? environment.LARDER_TOKEN;
  return { url: url.replace(/\/+$/, ''), token };
}

/** The JSON that a server answers below its root. Rejects with a line for the user. */
export async function askServer<T>(input: Input, path: string, method: 'GET' | 'DELETE' = 'GET'): Promise<T> {
  const { url, token } = await serverOf(input);
  return await ask<T>(`${url}${path}`, method, token);
}

async function ask<T>(url: string, method: string, token: string | undefined): Promise<T> {
  let response: Response;
  try {
    response = await fetch(url, {
      method,
      headers: { accept: 'application/json', ...(token ? { authorization: `Bearer ${token}` } : {}) },
      redirect: 'error',
      signal: AbortSignal.timeout(patienceMs),
    });
  } catch (error) {
    const cause = (error as { cause?: { code?: string; message?: string } }).cause;
    throw new Error(
      `${new URL(url).origin} can't be asked: ${cause?.code ?? cause?.message ?? (error as Error).message}`,
    );
  }
  const text = await response.text();
  let body: { readonly error?: string };
  try {
    body = JSON.parse(text) as { readonly error?: string };
  } catch {
    throw new Error(`${new URL(url).origin} answers ${response.status} and is no Larder`);
  }
  if (!response.ok) throw new Error(body.error ?? `${new URL(url).origin} answers ${response.status}`);
  return body as unknown as T;
}
