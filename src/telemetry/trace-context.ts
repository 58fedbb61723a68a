/**
 * W3C Trace Context (https://www.w3.org/TR/trace-context/) where Larder does not trace: whoever is asked on behalf of a traced
 * request is told of its trace as it came, so that the chain holds. Who may be told what is the upstream's setting.
 */
import { subscribe } from '../core/events.ts';

const shape = /^(?!ff)[\da-f]{2}-(?!0{32})([\da-f]{32})-(?!0{16})[\da-f]{16}-[\da-f]{2}$/;

/** Id of the trace that a request says it is part of, if it says so rightly. */
export function traceIdIn(traceparent: string | undefined): string | undefined {
  return traceparent === undefined ? undefined : shape.exec(traceparent)?.[1];
}

/** Whether it may be passed on: the specification asks for no more than this. */
export function isState(tracestate: string | undefined): tracestate is string {
  return tracestate !== undefined && /^[\x20-\x7e]{1,512}$/.test(tracestate);
}

/** Of so many requests with a trace it is known after they are over, for what they began. */
const mostKnown = 1000;

/** Returns the function that ends it. */
export function passTracesOn(): () => void {
  const known = new Map<string, { readonly traceparent: string; readonly tracestate?: string }>();
  const ends = [
    subscribe('request.start', ({ id, traceparent, tracestate }) => {
      if (known.size > 0) known.delete(id);
      if (traceparent === undefined || traceIdIn(traceparent) === undefined) return;
      known.set(id, isState(tracestate) ? { traceparent, tracestate } : { traceparent });
      const [oldest] = known.keys();
      if (known.size > mostKnown && oldest !== undefined) known.delete(oldest);
    }),
    subscribe('upstream.request', ({ requestId, tell, add }) => {
      if (tell === 'nothing' || requestId === undefined || known.size === 0) return;
      const found = known.get(requestId);
      if (!found) return;
      add('traceparent', found.traceparent);
      if (tell === 'all' && found.tracestate !== undefined) add('tracestate', found.tracestate);
    }),
  ];
  return () => {
    for (const end of ends) end();
  };
}
