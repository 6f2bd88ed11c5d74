import { renderTemplate } from '../template.ts';
import { serverOf, type Tunnel } from '../tunnel/tunnel.ts';
import { type Places, runtimeDirectoryName } from './places.ts';
import { execLine, plainValue } from './quote.ts';
import type { OutputFile } from './render.ts';

/** What tells people of a tunnel that went down or is up: a script for its news, a service that tells them, a path that starts it. */
export function renderNotices(tunnel: Tunnel, places: Places, note: string): OutputFile[] {
  const { script, serviceFile, service, pathFile } = places.notice;
  const locals = {
    note: note.trimEnd(),
    name: tunnel.name,
    unit: service,
    system: tunnel.scope === 'system',
    script: execLine([script]),
    onDown: execLine(['down', ...tunnel.onDown]),
    onUp: execLine(['up', ...tunnel.onUp]),
    runtimeDirectory: runtimeDirectoryName(places),
    // Neither a blank nor a quote can be in it, and that is all that Environment= would need to have quoted.
    server: plainValue(serverOf(tunnel)),
  };
  return [
    { path: script, content: renderTemplate('notice.sh.ejs', locals), mode: 0o644 },
    { path: serviceFile, content: renderTemplate('notice.service.ejs', locals), mode: 0o644 },
    { path: pathFile, content: renderTemplate('notice.path.ejs', locals), mode: 0o644 },
  ];
}
