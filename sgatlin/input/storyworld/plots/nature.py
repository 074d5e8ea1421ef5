# SPDX-License-Identifier: Apache-2.0
"""Fables about one animal's nature: the fact about it is what the story turns on."""

from sgatlin.input.storyworld.grammar import PARAGRAPH, Plot, maybe

ANYONE = tuple("squirrel frog duck badger hen otter beaver raccoon pig mole".split())

PLOTS = (
    Plot(
        "fine feathers",
        world="woods",
        heroes=("peacock",),
        beats=(
            "<open>",
            (
                '"Look at my tail!" {he} said to everyone {he} met. "Is there anything finer?"',
                "Every morning {he} looked at {himself} in the pond for an hour.",
                "{He} did not talk to anyone who was plain or gray.",
            ),
            '<one day> {intro2} came by.{fact friend} "How dull you look," said {hero}.',
            maybe(
                "{Friend} looked down at {himself2} and did not know what to say.",
                '"I like how I look," said {friend}, but {his2} voice shook.',
                '"That may be," said {friend}, "but I can do many things."',
            ),
            PARAGRAPH,
            (
                "Then a storm broke loose. {Hero} wanted to run, but {his} tail got caught in the"
                " brambles.",
                "A little later, {hero} walked through the thicket, and there {his} tail got"
                " stuck.",
                "That night a wolf came around. Everybody hid, but {his} tail could be seen from"
                " far away.",
            ),
            maybe(
                '"Help!" {he} cried. "I cannot move!"',
                "The more {he} pulled, the worse it got.",
            ),
            "{Friend} heard it and came at once. {He2} [bit through the twigs|pushed the branches"
            " aside|dug and pulled] until {hero} could slip out.",
            PARAGRAPH,
            maybe(
                'The tail had lost half of its plumes, and {hero} hung {his} head. "Now I am plain'
                ' too," {he} said.',
                '"Why did you help me?" asked {hero}. "I was not nice to you." "Because you'
                ' called," said {friend}.',
            ),
            (
                "{He} gave {friend} {his} finest feather. The feather was light, and {friend} wore"
                " it behind one ear.",
                '"A fine heart is finer than fine feathers," said {hero}. And {he} meant it.',
                "From then on {he} looked less into the pond and more at {his} friends.",
                "<friends>",
            ),
        ),
    ),
    Plot(
        "the loudest voice",
        world="woods",
        heroes=("parrot",),
        choices=(
            {"danger": "the dam broke, and the water came down the valley"},
            {"danger": "a fire started in the dry grass"},
            {"danger": "a wolf crept up from the gorge"},
            {"danger": "a rock came loose above the village"},
            {"danger": "thick smoke rose from the hay"},
        ),
        beats=(
            "<open>",
            (
                "{He} sang {a tune} at dawn and {a tune2} at noon, and {he} talked in {his} sleep.",
                "{He} said good morning to every {bird} and good night to every {bird2}.",
                "{He} told everybody everything, and mostly {number} times.",
            ),
            maybe(
                '"Can you not be quiet?" groaned {his} {pal}.{fact friend}',
                "All the animals stuffed moss into their ears.",
                '"Hush!" said {elder}.{fact elder} "We want to sleep!"',
            ),
            PARAGRAPH,
            (
                "So {hero} closed {his} beak and flew to a lonely rock. {He} felt {sad} and"
                " useless.",
                "That hurt. {Hero} decided never to say another word.",
            ),
            maybe(
                "It was very quiet now. At first the animals liked it. Then they began to miss"
                " something.",
                "For {number} days there was no sound, and nobody slept well.",
            ),
            "Then, one night in {month}, {danger}. Everybody slept, and nobody noticed.",
            PARAGRAPH,
            (
                'Only {hero} saw it from above. "Wake up!" {he} screamed. "Wake up, wake up, wake'
                ' up!"',
                "{Hero} took the biggest breath of {his} life and called every single name.",
            ),
            (
                "The whole valley heard it, and everyone got away just in time.",
                "They all jumped out of bed and ran up the slope, and not one was hurt.",
            ),
            (
                '"What a wonderful noise," said the animals. "Please never stop."',
                "In the morning they took the moss out of their ears and asked for {a tune}.",
                "Now {hero} has become the clock, the bell and the news of the village. But after"
                " supper, {he} whispers.",
                "<happy>",
            ),
        ),
    ),
    Plot(
        "hugs",
        world="woods",
        heroes=("hedgehog",),
        friends=("turtle",),
        beats=(
            "<open>",
            (
                "There was one thing {he} wished for more than {a trinket} or {a treat}, and"
                " that was a hug. But nobody dared.",
                "Everybody liked {him}, but when it came to hugs, they all took {number}"
                " steps back.",
                "On {his} birthday {he} got {a toy} and {a trinket}, but everyone only shook"
                " {his} paw.",
            ),
            PARAGRAPH,
            (
                '{He} asked {elder}.{fact elder} "Ouch," said {elder}. "Maybe a friendly wave?"',
                "{He} stuck {fruits} on every spine. Now {he} looked like {a tree}, and everyone"
                " came only for the {fruits}.",
                "{He} wrapped {himself} in wool. But the spines came through, and a lamb ran away."
                " The lamb was gentle, but no fool.",
                "{He} rolled in the mud until the spines lay flat. But who wants to hug a lump of"
                " mud?",
            ),
            maybe(
                "So {he} hugged a pillow. The pillow was soft, but it did not hug back.",
                "So {he} sat down and hugged {himself}.",
                '"Then it is not for me," said {hero} and sniffed.',
            ),
            PARAGRAPH,
            (
                "<one day> {intro2} came by and asked {him} what was wrong.{fact friend}",
                "<one day> {intro2} crept along the way and saw {him} there.{fact friend}",
            ),
            (
                '"Nobody can hug me, for I am all spines," said {hero}. "And I am all shell," said'
                " {friend} and knocked on it.",
                '{Hero} told {him2} everything. {Friend} thought about it for a long while. "Try'
                ' me," {he2} said.',
            ),
            (
                "So {hero} put both paws around the shell and squeezed. It did not hurt at all!",
                "And {hero} hugged {him2} with all {his} might. The spines only scratched a little"
                " on the shell.",
            ),
            (
                "They stood like that until the sun went down.",
                "<friends>",
                '"So that is what it feels like," said {hero}. "Again, please."',
                "There is a hug for everyone. Sometimes it just takes a while to arrive.",
                "After that, they hugged {number} times a day.",
            ),
        ),
    ),
    Plot(
        "too big for games",
        world="woods",
        heroes=("elephant", "giraffe"),
        friends=ANYONE,
        choices=(
            {"game": "hide and seek", "wrong": "{he} could be seen behind every tree"},
            {"game": "leapfrog", "wrong": "nobody could get over {him}"},
            {"game": "on the seesaw", "wrong": "the other side shot up into the air"},
            {"game": "house", "wrong": "only {his} nose went in at the door"},
            {"game": "musical chairs", "wrong": "{he} broke three chairs"},
        ),
        beats=(
            "<open>",
            (
                "The little animals played {game}, and {he} wanted to join in. But {wrong}.",
                '"May I play too?" {he} asked when the others played {game}. They let {him}, but'
                " {wrong}.",
            ),
            (
                '"You are just too big," said {intro2}.{fact friend}',
                "{Intro2} laughed so hard that {he2} fell over.{fact friend}",
            ),
            PARAGRAPH,
            maybe(
                "{Hero} walked away and tried to make {himself} small. It did not work.",
                '"I wish that I were a flea," {he} said to {his} face in the pond.',
                "That night {he} cried big tears, and each of them made a pond.",
            ),
            (
                '"You are just right," said {elder}.{fact elder} "You will see."',
                "<meet>",
                "<watch>",
                "",
            ),
            PARAGRAPH,
            (
                "Then it rained for three days, and the stream burst its banks. {Friend} and all"
                " the others sat on a little rock in the water and called for help.",
                "Then {friend} climbed to the top of a tree and did not dare to come down.",
                "Then the roof of the school slid off in the wind, and rain came in on the little"
                " ones.",
            ),
            (
                "{Hero} came with big steps and saved them all. It took {him} one minute.",
                '"Hold on!" called {hero}. Nobody else could have reached that far, but {he}'
                " could.",
            ),
            (
                '"You are not too big," said {friend}. "We were too small to see it."',
                "From then on they had a new game. It was called slide, and {he} was the slide.",
                "The next day they all played {game} again, with new rules.",
                "<friends>",
            ),
        ),
    ),
    Plot(
        "the donkey stands still",
        world="town",
        choices=(
            {"there": "a cart full of hay", "push": "pulled the rope", "elder": "Farmer {surname}"},
            {
                "there": "two sacks of flour",
                "push": "pushed from behind",
                "elder": "Farmer {surname}",
            },
            {
                "there": "baskets full of {fruits}",
                "push": "shook the reins",
                "elder": "Farmer {surname}",
            },
            {
                "there": "a cart full of pumpkins",
                "push": "rang a bell",
                "elder": "Farmer {surname}",
            },
            {
                "there": "milk for the whole village",
                "push": "waved a hat",
                "elder": "Farmer {surname}",
            },
        ),
        beats=(
            "{Elder} had a donkey that carried {there}. The donkey was stubborn. <one day> it"
            " stood still in the middle of the lane and would not move.",
            (
                "{Elder} {push}, but it was no use.",
                '"Walk on!" cried {elder} and {push}. The donkey only shook its ears.',
            ),
            PARAGRAPH,
            (
                "Soon everybody came to help. <watch>",
                "A baker pushed, a teacher pulled, and two boys blew on horns.",
                "Behind them a bus had to stop, and then a truck, and then a whole parade.",
            ),
            maybe(
                "The donkey closed its eyes and yawned.",
                "The donkey did not even look at them.",
            ),
            "Then {intro} came along on the way home from school.",
            PARAGRAPH,
            (
                "{Hero} held out a carrot. The carrot was crunchy. The donkey took one step to"
                " reach it, and then one more.",
                "{Hero} looked at its hoof, and there was a stone in it! {He} pulled it out as"
                " carefully as {he} could.",
                "{Hero} whispered something into its ear, and at once it trotted off.",
                "{Hero} looked where it looked. There was a puddle in the lane. The puddle was"
                " shallow, so {he} stamped right through it to show that it was safe.",
                "{Hero} turned around and walked away, and sang {a tune}. The donkey wanted to"
                " hear the end of it and came along.",
            ),
            (
                '"How did you do that?" asked {elder}. "I was not in a hurry," said {hero}.',
                "Everyone cheered, and {elder} lifted {him} onto its back.",
                '"It only wanted a friend," said {hero}.',
            ),
            (
                "Since then {he} rides home from school every Friday.",
                "The donkey never stood still again, except when {hero} came by.",
                "<happy>",
                "",
            ),
        ),
    ),
    Plot(
        "the dance",
        world="woods",
        heroes=("deer",),
        beats=(
            "<open>",
            (
                "Every full moon there was a dance in the clearing, and {he} watched it from"
                " behind {a tree}.",
                "When the others danced at night, {he} only danced behind the bushes, where nobody"
                " could see {him}.",
            ),
            maybe(
                "{His} feet wanted to go, but {his} heart beat too fast.",
                '"Next time," {he} told {himself} each time.',
            ),
            PARAGRAPH,
            (
                "A peacock danced in the middle. The peacock was proud and took up all the room.",
                "A monkey danced on its hands. The monkey was silly, and everyone laughed.",
                "A bear danced with a barrel. The bear was strong and threw it up to the stars.",
                "A goose told everyone where to put their feet. The goose was bossy.",
            ),
            (
                "Then {intro2} tripped and rolled into the bushes, right to {his} feet.{fact"
                " friend}",
                "Then {intro2} went to fetch some {drink}, and saw {him}.{fact friend}",
            ),
            (
                '"I dance, but only when nobody looks," whispered {hero}.',
                '"Is it nice back here?" {he2} asked. "It is quiet," said {hero}.',
            ),
            PARAGRAPH,
            (
                '{Friend} did not pull {him} out into the light. "May I dance back here too?"'
                " {he2} asked.",
                '"I cannot dance at all," said {friend}. "Will you show me?"',
            ),
            (
                "So the two of them danced in the dark, and it was so much fun that they forgot"
                " where they were. They danced out of the bushes, and across the clearing, and"
                " nobody stared.",
                "They turned and turned. When {hero} looked up, they were in the middle of it all,"
                " and everyone was smiling.",
            ),
            maybe(
                "After that {hero} came to every dance. {He} still began behind the bushes.",
                "<friends>",
                "<night>",
            ),
        ),
    ),
    Plot(
        "a thread of silk",
        world="woods",
        heroes=("spider",),
        choices=(
            {"mocks": "So much work for one fly", "need": "the strap of the big bell tore"},
            {"mocks": "I could never sit still like that", "need": "a chick fell from its nest"},
            {"mocks": "You could just buy one", "need": "the sail of the ferry ripped"},
            {"mocks": "It will be gone tomorrow", "need": "the wedding dress came apart"},
        ),
        beats=(
            (
                "Once upon a time, there was {intro}.{fact hero}",
                "There once was {intro}.{fact hero}",
                "This is the story of {intro}.{fact hero}",
            ),
            (
                "Behind {his} web stood {a tree}, and {flower} grew all around.",
                "{He} lived [under|above] {a seat} [in the mill|in a barn|on the porch of the"
                " school].",
                "{His} web hung between {a tree} and {a tree2}.",
            ),
            (
                "Each night {he} made a web, and each morning the wind tore it.",
                "All day long {he} tied thread to thread.",
            ),
            '"{Mocks}!" said {intro2} who came by.{fact friend}',
            maybe(
                '"I like it," said {hero} and tied the next knot.',
                "{Hero} only smiled and went on.",
            ),
            PARAGRAPH,
            (
                "<watch>",
                "<watch> The days went by.",
                "So the summer passed.",
            ),
            "Then, <quarrel>, {need}. Nobody knew what to do.",
            maybe(
                "{Friend} tried to fix it with mud, but that did not hold.",
                '{Friend} ran in circles and cried, "What now? What now?"',
                "They tried it with grass, with glue, and with good words.",
            ),
            PARAGRAPH,
            (
                '"Let me try," said {hero}. {He} worked all night, thread by thread.',
                "{Hero} let {himself} down on a thread and began to weave.",
            ),
            (
                "In the morning it was done, and it was better than before.",
                "When the sun rose, dew hung on every thread, and everything was whole again.",
            ),
            (
                '"Teach me," said {friend}. "Sit down," said {hero}. "First you learn to wait."',
                "Nobody ever laughed at {him} again.",
                "<friends>",
                "Good work is quiet.",
            ),
        ),
    ),
    Plot(
        "the busy one",
        world="woods",
        heroes=("bee",),
        choices=(
            {"ask": "to dance", "miss": "the summer feast"},
            {"ask": "to look at the clouds", "miss": "the rainbow"},
            {"ask": "to play tag", "miss": "the first day of spring"},
            {"ask": "to listen to the birds", "miss": "the concert"},
        ),
        beats=(
            (
                "Once upon a time, there was {intro}.{fact hero} From morning to night {he}"
                " flew from the {flower} to the {flower2}.",
                "There once was {intro}.{fact hero} {He} lived in {a tree} and never took {a"
                " weekday} off.",
                "This is the story of {intro}.{fact hero} {He} knew all the {flower} for"
                " {number} miles.",
            ),
            '<one day> {intro2} asked {him} {ask}.{fact friend} "No time!" said {hero}.',
            maybe(
                '"Maybe tomorrow?" asked {friend}. "Maybe," said {hero}, and was gone already.',
                '"All work and no play makes dull honey," said {friend}.',
            ),
            PARAGRAPH,
            maybe(
                "So {he} missed {miss}, and {he} hardly noticed.",
                "{He} heard the others laugh, far away, and flew a little faster.",
            ),
            (
                "Then {his} wings grew so tired that {he} fell into the grass.",
                "Then a raindrop hit {him}, and {he} dropped into a tulip and had to stay there.",
                "Then it grew windy, and {he} could not fly anymore.",
            ),
            (
                "There {he} lay and looked up. The cloud above {him} drifted by. The cloud was"
                " fluffy. {He} had never seen one before!",
                "For the first time {he} sat on a flower and just smelled it.",
            ),
            PARAGRAPH,
            (
                '"There you are," said {friend} and sat down next to {him}. "Is it not nice to do'
                ' nothing?"',
                '{Friend} found {him} there and brought {him} a drop of dew. "You look different,"'
                " said {friend}.",
            ),
            (
                '"I had no idea how big the sky is," said {hero}.',
                '"It is nice," said {hero} in surprise. "How does one do it?"',
            ),
            (
                "Since then, {he} works until noon. The honey was sweet before, and it still is.",
                "From then on, {he} took a nap each day, and {his} honey won a prize. The honey"
                " was sweet.",
                "<friends>",
            ),
        ),
    ),
)
