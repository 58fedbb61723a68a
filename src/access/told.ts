/** Tells whoever counts how a sign-in went. */
import { type Events, publish } from '../core/events.ts';
import { toProblem } from '../core/problem.ts';

export async function told<T>(how: Events['sign-in']['how'], signIn: () => Promise<T>): Promise<T> {
  try {
    const result = await signIn();
    publish('sign-in', { how, outcome: 'done' });
    return result;
  } catch (error) {
    publish('sign-in', { how, outcome: toProblem(error).status < 500 ? 'refused' : 'failed' });
    throw error;
  }
}
