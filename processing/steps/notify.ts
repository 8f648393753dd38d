import type { Step } from '../step/step.ts'

/** Wakes listeners that wait for the outcome; the events themselves were written with the change they tell of. */
export const notify: Step = {
  name: 'notify',
  after: ['publish'],
  async run({ media, notifyListeners }) {
    notifyListeners(media.upload_id)
    return {}
  },
}
