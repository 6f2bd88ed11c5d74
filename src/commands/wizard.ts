import { failed } from '../errors.ts';
import type { Draft } from '../input/fields.ts';
import type { Context } from './context.ts';
export async function wizard(_context: Context, _draft: Draft): Promise<void> { throw failed('todo', 'todo'); }
