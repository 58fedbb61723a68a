/** Passes a request on to the first upstream that may know, without the names that must stay here, and stores nothing. */

import type { Forward } from '../core/format.ts';
import { isTrouble, Problem } from '../core/problem.ts';
import { hasPrivateNames, isClaimed, type Repository, sourcesFor } from '../core/repository.ts';
import type { Asking, ForwardCall } from '../core/source.ts';
import type { Answer } from './answer.ts';
import type { Request } from './handle.ts';

/** Response headers that mean the same to the client as to us. */
const passed = ['content-type', 'content-encoding'];

export async function answerForward(
  repository: Repository,
  want: Forward,
  request: Request,
  asking: Asking,
): Promise<Answer> {
  const call = await callOf(repository, want, request);
  let trouble: Problem | undefined;
  for (const source of call ? sourcesFor(repository.sources, want) : []) {
    if (!call || !source.forward) continue;
    try {
      const reply = await source.forward(want, call, asking);
      if (!reply) continue;
      const headers: Record<string, string> = { 'cache-control': 'no-store' };
      for (const name of [...passed, ...(want.passes ?? [])]) {
        const value = reply.headers[name];
        if (value !== undefined) headers[name] = value;
      }
      return {
        status: reply.status,
        headers,
        outcome: 'forwarded',
        body: { kind: 'stream', stream: reply.body, discard: reply.discard },
      };
    } catch (error) {
      if (!isTrouble(error)) throw error;
      if (!trouble || trouble.code === 'offline') trouble = error;
    }
  }
  const isOffline = trouble?.code === 'offline';
  if (trouble && !(isOffline && want.otherwise)) throw trouble;
  if (want.otherwise) {
    const { status = 200, headers = {}, bytes } = want.otherwise;
    return {
      status,
      headers: { 'cache-control': 'no-store', ...headers },
      outcome: isOffline ? 'offline' : 'answered',
      body: { kind: 'bytes', bytes },
    };
  }
  throw new Problem('not_found', `No upstream of ${repository.id} answers ${want.path.split('?')[0]}.`);
}

/** `undefined`: what was sent can't be inspected, and claimed names could be in it. */
async function callOf(repository: Repository, want: Forward, request: Request): Promise<ForwardCall | undefined> {
  const headers: Record<string, string> = {};
  for (const name of want.headers ?? []) {
    const value = request.headers[name];
    if (value !== undefined) headers[name] = value;
  }
  const method = request.method === 'POST' ? 'POST' : request.method === 'HEAD' ? 'HEAD' : 'GET';
  if (method !== 'POST') return { method, headers };
  for (const name of ['content-type', 'content-encoding']) {
    const value = request.headers[name];
    if (value !== undefined) headers[name] = value;
  }
  const body = await request.body();
  if (!hasPrivateNames(repository.sources)) return { method, headers, body };
  const open = want.redact?.(body, request.headers['content-encoding'], (name) => isClaimed(repository.sources, name));
  if (!open) return undefined;
  delete headers['content-encoding'];
  return { method, headers, body: open };
}
