/** `npm run lab:trees`, as root: makes the other Debians that the lab boots, about 20 s each. */
import { equip, missingTrees } from './equip.ts';

if (process.getuid?.() === 0) equip();
const missing = missingTrees();
if (missing.length > 0) console.error(`Missing: ${missing.join(', ')}. Making them needs root and Debian's packages.`);
process.exitCode = missing.length === 0 ? 0 : 1;
