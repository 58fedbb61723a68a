/** Somebody whom Larder knows. */
import { expectBody } from './probe.ts';

export interface Person {
  readonly name: string;
  readonly password: string;
}

/** Headers with a token that is good for a quarter of an hour; none where there is no such service. `url`: of anything at the server. */
export async function tokenOf(url: string, { name, password }: Person): Promise<Readonly<Record<string, string>>> {
  const { origin } = new URL(url);
  const authorization = `Basic ${Buffer.from(`${name}:${password}`).toString('base64')}`;
  const there = await fetch(`${origin}/token`, { headers: { authorization } });
  await there.body?.cancel();
  if (!there.ok) return {};
  const { body } = await expectBody(`${origin}/token`, {}, { headers: { authorization } });
  return { authorization: `Bearer ${(JSON.parse(body.toString()) as { token: string }).token}` };
}
