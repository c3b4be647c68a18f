/** Changes of members while members die, stop and cannot hear each other. */
import type { MemberProcess } from '../support/cluster-process.ts';
import { type Attack, disturbed } from './attacks.ts';
import type { Battlefield } from './battlefield.ts';
import { add, comesToItsEnd, promote, remove } from './member-changes.ts';

async function anyVictim(field: Battlefield): Promise<MemberProcess> {
  return field.random.below(2) === 0 ? field.leader() : field.pick(field.members);
}

/** One more, first as learner, then as voter; then another one goes. */
export const growAndShrink: Attack = async (field) => {
  const learner = await disturbed(field, () => add(field, true));
  if (field.random.below(3) === 0) await field.kill(learner);
  await disturbed(field, () => promote(field, learner));
  await field.peace();
  const leaver = await anyVictim(field);
  await disturbed(field, () => remove(field, leaver));
  await comesToItsEnd(field, leaver);
  await field.peace();
};

/** What has happened to the member that is given up, before anybody decides to replace it. */
type Loss = 'died' | 'cut off' | 'stopped' | 'in good health';
const losses: readonly Loss[] = ['died', 'died', 'cut off', 'stopped', 'in good health'];

/** A member is lost: it is removed, and another one with an empty disk is added in its place. */
export const replaceMember: Attack = async (field) => {
  const lost = await anyVictim(field);
  const loss = field.pick(losses);
  field.strike('member lost', `${lost.name} is lost: ${loss}`);
  const links = field.network.between([
    [lost.name],
    field.network.members.filter((name) => name !== lost.name),
  ]);
  if (loss === 'died') await field.kill(lost);
  if (loss === 'cut off') for (const link of links) link.cut();
  if (loss === 'stopped') field.pause(lost);
  await remove(field, lost);
  // Of what is left of three, nobody may be away while the new one comes.
  const substitute = await disturbed(field, () => add(field, field.random.below(2) === 0));
  if (!field.members.includes(substitute)) {
    await disturbed(field, () => promote(field, substitute));
  }
  for (const link of links) link.mend();
  if (loss === 'stopped') field.resume(lost);
  await comesToItsEnd(field, lost);
  await field.peace();
};
