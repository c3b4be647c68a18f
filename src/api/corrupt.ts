/** What a member does not serve whose state is wrong, or may be. */
import { Cluster, Health, Maintenance } from '../gen/services.ts';

/** Services that tell of the member and the cluster; changes of them go through the log. */
const inspecting = [Cluster, Health, Maintenance].map(({ name }) => `/${name}/`);

/** Whether a method answers from the state or acts on it. All but that helps to find out more. */
export function showsState(path: string): boolean {
  if (path === Maintenance.methods.snapshot.path) return true;
  return !inspecting.some((prefix) => path.startsWith(prefix));
}
