import { CATALOGUE } from '../../doctor/catalogue.ts';
import { usage } from '../../errors.ts';
import { wrap } from '../../wrap.ts';
import type { Context } from '../context.ts';

/** Tells what a finding means. @throws ExpectedError when there is none of that id, with all that there are */
export function explain({ output }: Context, id: string): void {
  const found = Object.hasOwn(CATALOGUE, id) ? CATALOGUE[id] : undefined;
  if (!found) throw usage(`There is no finding "${id}".`, `Those that there are:\n${wrap(Object.keys(CATALOGUE).join(', '), '  ')}`);
  const { symptom, cause, cure } = found;
  const part = (title: string, text: string) => title + wrap(text, ' '.repeat(title.length)).trimStart();
  output.result([id, part('Symptom: ', symptom), part('Cause:   ', cause), part('Cure:    ', cure)].join('\n\n'));
  output.object({ ok: true, changed: false, finding: id, symptom, cause, cure });
}
