/** Finding the route of a request, for each form of path that npm clients send. */
import { compileRoutes } from '../../src/core/route.ts';
import { loadFormat } from '../../src/formats/load.ts';
import { measure } from './measure.ts';

const { routes } = await loadFormat('npm');
const router = compileRoutes(routes);

for (const path of [
  '/lodash',
  '/@types%2fnode',
  '/lodash/-/lodash-4.17.21.tgz',
  '/@types/node/-/node-24.0.0.tgz',
  '/lodash/4.17.21',
  '/-/ping',
]) {
  measure(`route of ${path}`, () => router.find('GET', path, (route, params) => ({ route, params })));
  measure(`route and intent of ${path}`, () =>
    router.find('GET', path, (route, params) =>
      route.intent({
        method: 'GET',
        params,
        query: new URLSearchParams(),
        headers: {},
        base: 'http://localhost:5273/public/npm',
      }),
    ),
  );
}
