import { access } from 'node:fs/promises'

/** Whether there is something at this path that can be seen. */
export const pathExists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  )
