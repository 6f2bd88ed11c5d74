import { failed } from '../errors.ts';
import type { Context } from './context.ts';
export async function demo(_context: Context): Promise<void> { throw failed('todo', 'todo'); }
