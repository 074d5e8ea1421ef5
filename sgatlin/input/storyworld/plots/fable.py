# SPDX-License-Identifier: Apache-2.0
"""Fables in which animals race, quarrel, help and fool each other."""

from sgatlin.input.storyworld.grammar import PARAGRAPH, Plot, maybe

ANYONE = tuple("squirrel frog duck badger hen otter beaver raccoon pig mole".split())

PLOTS = (
    Plot(
        "pulling together",
        world="woods",
        heroes=ANYONE,
        choices=(
            {"root": "turnip"},
            {"root": "beet"},
            {"root": "radish"},
            {"root": "potato"},
            {"root": "pumpkin"},
            {"root": "onion"},
            {"root": "cabbage"},
        ),
        beats=(
            "<brief> In {his} garden grew {a root}, and it grew and grew until it was bigger than"
            " a cart.",
            (
                '"Today I will pull it out," said {hero}, but it did not move.',
                "<one day> {he} pulled at it with all {his} might, but it stayed where it was.",
            ),
            PARAGRAPH,
            (
                "So {he} called {his} {pal}.{fact friend} They pulled together, but it did not"
                " move.",
                "{His} {pal} came to help.{fact friend} They pulled until their faces turned red.",
            ),
            (
                "Then an elephant came. The elephant was huge, but even that was not enough.",
                "Then a bear came. The bear was strong, and the {root} moved a little. But it did"
                " not come out.",
                "Then a donkey came. The donkey was stubborn and did not let go, but neither did"
                " the {root}.",
                'Then a goose came. The goose was bossy and counted, "One, two, three, pull!"'
                " Nothing happened.",
            ),
            maybe(
                '"It will stay there forever," said {friend} and fell over backward.',
                "They all sat down and panted.",
            ),
            PARAGRAPH,
            (
                "Then a mouse came by and took hold of it. The mouse was tiny, and everyone"
                " laughed.",
                "At last a mouse took hold of the very end. The mouse was tiny, but that was what"
                " had been missing.",
            ),
            (
                "They pulled once more, all of them, and plop! Out it came, and they all fell in a"
                " heap.",
                "One, two, three, and out flew the {root}! It rolled down the slope, and they ran"
                " after it.",
            ),
            (
                "There was soup for everyone that night. The soup was delicious, and the mouse got"
                " the first bowl.",
                "They ate {root} pie for a week, and nobody laughed at the mouse anymore.",
                '"So it was me," squeaked the mouse.',
            ),
        ),
    ),
    Plot(
        "before the winter",
        world="woods",
        heroes=("squirrel", "badger", "mouse", "mole", "beaver", "hen"),
        friends=("cat", "frog", "monkey", "pig", "otter"),
        beats=(
            "<pair>",
            (
                "All autumn {hero} gathered {fruits}, nuts and roots.",
                "When the leaves turned [red|yellow|brown], {hero} began to fill the pantry.",
                "Day after day {hero} carried food home.",
            ),
            (
                '{Friend} lay on {his2} back and hummed {a tune}. "Why do you work so much?" {he2}'
                " asked.",
                '"Come and play!" called {friend}. "Winter is far away."',
            ),
            (
                '"It will come," said {hero}, "and then I will be ready."',
                "{Hero} carried on. <meet>",
            ),
            PARAGRAPH,
            (
                "Then the first snow fell, and the wind howled around every corner.",
                "One {weekday} morning everything had turned white, and there was nothing to eat"
                " anywhere.",
            ),
            (
                "{Friend} looked into {his2} pantry. There was a button, and half a nut.",
                "{Friend} looked in every corner and found one bean.",
                "{Friend} knocked at many doors. <watch>",
            ),
            (
                "{Friend} felt ashamed, but {he2} felt hungry too. So {he2} knocked at"
                " {hero}'s door.",
                "At last {friend} stood in front of {hero}'s door, blue with cold.",
            ),
            PARAGRAPH,
            (
                '{Hero} could have said, "I told you so." But {he} said, "Come in."',
                '"Who hums so badly out there?" asked {hero} and opened the door.',
                "{Hero} looked at {him2} for a while. Then {he} moved aside and put another bowl"
                " on the table.",
            ),
            (
                "All winter long {friend} sang and told stories, and {hero} had never laughed so"
                " much.",
                "So {friend} swept the floor, and in the evening {he2} sang. It was a good winter.",
            ),
            maybe(
                "The next autumn there were two who gathered nuts. They sang while they did it.",
                "In spring {friend} planted a whole field, and half of it was for {hero}.",
                "One of them had food, and the other had songs. Together they had everything.",
            ),
        ),
    ),
    Plot(
        "one for two",
        world="woods",
        pair=True,
        choices=(
            {"prize": "peach", "half": "piece"},
            {"prize": "carrot", "half": "piece"},
            {"prize": "cheese", "half": "piece"},
            {"prize": "lemon cake", "half": "slice"},
            {"prize": "melon", "half": "slice"},
            {"prize": "pie", "half": "slice"},
            {"prize": "nut cake", "half": "slice"},
            {"prize": "loaf of bread", "half": "slice"},
        ),
        beats=(
            "<pair> <one day> they found {a prize} at the side of the way.{fact prize}",
            (
                '"I saw it first!" said {hero}. "But I picked it up first!" said {friend}.',
                '"It is mine," said {friend}, "because I am hungrier." "It is mine," said {hero},'
                ' "because I am nicer."',
            ),
            PARAGRAPH,
            (
                "They pulled at it from both sides, and they could not agree.",
                "They quarreled so loudly that {number} birds flew away.",
                "They ran a race to {a tree} for it, but they both came in at the same time.",
                'They drew straws {number} times, and each time one of them cried, "Not fair!"',
            ),
            (
                'A fox heard them. The fox was clever and said, "Let me hold it for you." They did'
                " not fall for that.",
                "<meet>",
                "",
                "",
                "",
                "",
            ),
            "So they went to the owl. The owl was wise and listened to them both.",
            PARAGRAPH,
            (
                '"It is easy," said the owl. "One of you cuts, and the other one chooses."',
                '"{Call} cuts," said the owl, "and {call2} picks first."',
            ),
            (
                "{Hero} took a knife and measured three times. Never before had anyone cut two"
                " halves so equal!",
                "So {hero} cut very carefully, and both halves came out the same.",
            ),
            (
                "{Friend} picked one {half}, and nobody could complain.",
                '"You take this one," said {friend}. "It looks a bit bigger." "No, you take it,"'
                " said {hero}. And so they began to quarrel again!",
                '"And who gets the crumbs?" asked {hero}. "The owl," said the owl.',
            ),
            (
                "",
                "They still do it that way, with everything there is.",
                "<home again>",
                "",
                "",
                "",
            ),
        ),
    ),
    Plot(
        "the race",
        world="woods",
        heroes=("turtle",),
        friends=("rabbit",),
        choices=(
            {"goal": "the mill"},
            {"goal": "the big rock"},
            {"goal": "the end of the field"},
            {"goal": "the crooked pine"},
            {"goal": "the scarecrow"},
            {"goal": "the pond and back"},
        ),
        beats=(
            "<open>",
            (
                'Next door lived {intro2}.{fact friend} "I bet that I can beat you to'
                ' {goal}!" {he2} said one day.',
                '<one day> {intro2} came by.{fact friend} "Shall we race to {goal}?" {he2}'
                ' asked. "You may start first."',
                'In the same village lived {intro2}, who laughed at {him}.{fact friend} "See'
                ' you at {goal}!" called {friend} one day. "Tomorrow, maybe!"',
            ),
            maybe(
                '"All right," said {hero}. And off they went.',
                '"We will see," said {hero}. {Elder} dropped a leaf, and the race began.',
                '"One, two, three!" called {elder}, and they were off.',
            ),
            PARAGRAPH,
            (
                "In a blink {friend} had vanished. {Hero} took one step, and then another.",
                "{Friend} shot away like an arrow. {Hero} did not look left or right, and"
                " just walked.",
                "{Friend} ran so fast that the dust flew. {Hero} set one foot in front of the"
                " other.",
                "{Friend} leaped over the first fence. {Hero} crept under it.",
            ),
            maybe(
                "<watch>",
            ),
            (
                "Halfway there, {friend} lay down under a tree and fell asleep.",
                "Halfway there, {friend} found a patch of clover and forgot the race.",
                "{Friend} ran so fast that {he2} missed the turn and ended up at the other end of"
                " the valley.",
                "{Friend} jumped over everything twice to show off, and soon {he2} had no breath"
                " left.",
                "But then {friend} stepped into a hole and hurt {his2} foot. {He2} sat there and"
                " cried until {hero} came along.",
            ),
            PARAGRAPH,
            (
                "{Hero} walked on, step by step. And when {friend} came at last, {hero} already"
                " sat at {goal}.",
                '"Climb on my back," said {hero}. And so they crossed the line together, very'
                " late, and everyone cheered.",
                "When the sun went down, somebody crossed the line first. It was {hero}!",
            ),
            (
                '"How did you do that?" asked {friend}. "I did not stop," said {hero}.',
                '"I will never laugh at you again," said {friend}. "Oh, you may laugh," said'
                ' {hero}, "as long as we laugh together."',
                "Who goes step by step gets there too.",
                "<friends>",
                "{Friend} brought {him} a basket of {fruits}, and they shared it at the finish.",
            ),
        ),
    ),
    Plot(
        "the net",
        world="woods",
        heroes=("mouse",),
        friends=("lion",),
        choices=(
            {"why": "ran across {his2} nose", "trap": "net"},
            {"why": "woke {him2} with a sneeze", "trap": "net"},
            {"why": "slid down {his2} back", "trap": "snare"},
            {"why": "had hidden in {his2} mane", "trap": "net"},
        ),
        beats=(
            "<brief> In the same land lived {intro2}.{fact friend}",
            "<one day> {hero} {why}, and a big paw came down on {him}.",
            (
                '"Please let me go," squeaked {hero}, "and one day I will help you."',
                '"Do not eat me," {he} begged, "for I am a small bite, but a good friend."',
            ),
            (
                "{Friend} laughed so much that {he2} let go.",
                '"Run along, then," said {friend} with a smile and lifted {his2} paw.',
            ),
            PARAGRAPH,
            (
                "Some weeks later there was a roar that shook the trees. {Friend} had run into {a"
                " trap}.",
                "Winter came and went. Then, one night, {friend} got caught in {a trap}.",
            ),
            maybe(
                "{He2} pulled and kicked, but the ropes only grew tighter.",
                "An elephant came to look. The elephant was huge, but could not untie a knot.",
                "A monkey tried to untie it. The monkey was silly and tied itself up too.",
                "A fox tried to think of a way. The fox was clever, but a knot is a knot.",
            ),
            PARAGRAPH,
            (
                '"I am coming!" called {hero}. And {he} began to gnaw, thread by thread, all'
                " night.",
                '{Hero} heard it and came running. "Keep still," {he} said and used {his} teeth.',
            ),
            (
                "In the morning the last rope snapped, and {friend} stood up and shook {his2}"
                " mane.",
                "Snap, snap, snap, went the ropes, and {friend} could crawl out.",
            ),
            (
                '"I laughed at you," said {friend}. "You did," said {hero}. "It tickled."',
                "Since then, {hero} sleeps in the safest bed in the land, between two big paws.",
                '"The smallest friend can be the greatest," said {friend}.',
                "<friends>",
            ),
        ),
    ),
    Plot(
        "two on a bridge",
        world="woods",
        heroes=("donkey",),
        friends=("goat", "pig", "badger", "duck", "fox"),
        beats=(
            (
                "In the valley flowed a stream, and over it led a bridge. The bridge was"
                " narrow, with room for only one.",
                "There was only one way over the gorge, and that was a bridge. The bridge was"
                " narrow.",
                "Between the village and the [mill|orchard|meadow|farm|school] there was a"
                " bridge. The bridge was narrow.",
            ),
            "<one day> {intro} came from one side.{fact hero} From the other side came"
            " {intro2}.{fact friend}",
            (
                "In the middle they met, nose to nose.",
                "Neither of them looked up, and so they bumped into each other.",
            ),
            (
                "{Hero} had to [deliver|carry] a basket of {fruits}, and {friend} had to"
                " catch the [ferry|train|mail coach].",
                "{Hero} wore {a colour} {wear}, and {friend} hummed {a tune}.",
                "One of them wanted to [go home|see the doctor], and the other wanted to [buy"
                " {fruits}|visit a cousin|go to a dance].",
            ),
            PARAGRAPH,
            (
                '"Go back!" said {friend}. "You go back!" said {hero}.',
                '"I was here first," said {hero}. "No, I was," said {friend}.',
                '"Let me pass," said {friend}. "Never," said {hero}.',
            ),
            maybe(
                "They stood there until noon, and a line of animals grew on both sides.",
                "They pushed a little, and the bridge began to sway. A shoe fell into the water.",
                "The sun moved over the sky, and still they stood there. {A bird} sat down on"
                " {his} head.",
            ),
            (
                "{Elder} told them to be sensible, but they did not listen.{fact elder}",
                "A goose came and scolded them. The goose was bossy, but it did not help.",
                "",
                "",
                "",
                "",
            ),
            PARAGRAPH,
            (
                'Then a mouse ran right between their feet. The mouse was tiny. "Why do you not'
                ' take turns?" it called.',
                "Then it began to rain, and both of them got wet. They looked so funny that they"
                " had to laugh.",
                'Then a lamb spoke up. The lamb was gentle and said, "One of you is smart. Which'
                ' one?"',
                'Then {friend} sneezed. "Bless you," said {hero}, and after that it was hard to be'
                " angry.",
            ),
            (
                'So {hero} lay down flat, and {friend} stepped over {him}. "Thank you," said'
                " {friend}.",
                'Both of them went back at once. "After you!" they called, and so they stood there'
                " again, and laughed.",
                '"I will walk backward with you," said {hero}, "and you can tell me where you are'
                ' going."',
            ),
            maybe(
                "The smart one gives way.",
                "<friends>",
                "Since that day there is a bell on the bridge, and whoever comes rings first.",
                "When they met there the next time, they flipped a button.",
            ),
        ),
    ),
    Plot(
        "too much honey",
        world="woods",
        heroes=("bear",),
        choices=(
            {"home2": "a hollow trunk"},
            {"home2": "a hole in the wall of the mill"},
            {"home2": "a hive behind the hedge"},
            {"home2": "a pot in the pantry"},
        ),
        beats=(
            "<open>",
            "<one day> {he} found honey in {home2}. The honey was sweet, and {he} could not stop.",
            (
                '"Leave some for the rest of us," said a bee. The bee was busy, but it had time to'
                " say that.",
                '"Is there enough for two?" asked {his} {pal}.{fact friend} "No," said {hero} with'
                " {his} mouth full.",
                '"You will be sorry," said {elder}.{fact elder} But {hero} did not listen.',
            ),
            PARAGRAPH,
            (
                "{He} licked and slurped until the last drop had gone.",
                "{He} ate for {number} hours and used {a cup} as a spoon.",
                "{He} ate {number} bowls of it, and then {he} licked the bowl.",
            ),
            (
                "Then {he} wanted to leave, but {he} had grown so fat that {he} stuck in the door.",
                "Then {his} tummy began to hurt. It hurt so much that {he} rolled on the ground.",
                "Then {he} noticed that {his} fur stuck to everything: to leaves, to sticks, and"
                " to a very angry hen.",
            ),
            maybe(
                '"Oh," groaned {hero}. "Oh, oh, oh."',
                '"Help!" {he} cried. And who came? The very ones who had got nothing.',
            ),
            PARAGRAPH,
            (
                "They gave {him} mint tea, and nobody said a bad word.",
                "It took the whole village, a rope, and a lot of soap.",
                "The others sat with {him} until {he} felt better.",
            ),
            (
                '"I am sorry," said {hero}. "The next pot is for you."',
                "The next day {he} brought honey to everyone and took only one spoon for"
                " {himself}.",
                '"Half would have been twice as good," said {hero}.',
                "Since then, {he} shares. Well, nearly always.",
            ),
        ),
    ),
    Plot(
        "flattery",
        world="woods",
        heroes=("fox",),
        choices=(
            {"say": "What a voice you must have", "deed": "sang"},
            {"say": "I hear that you can count to three", "deed": "counted"},
            {"say": "They say that you tell the best jokes", "deed": "told a joke"},
            {"say": "They say that you know the whole alphabet", "deed": "began with the letter A"},
        ),
        beats=(
            "<open>",
            (
                "<one day> a crow sat on {a tree} with a piece of cheese. The cheese was"
                " smelly, and {hero} could not think of anything else.",
                "<one day> {he} saw a crow that had stolen a cheese. The cheese was smelly,"
                " and {hero} wanted it more than anything.",
                "<one day> a crow with {a colour} {wear} sat on a branch and held a cheese."
                " The cheese was smelly, just as {hero} liked it.",
            ),
            maybe(
                '"Give me some," said {hero}. The crow shook its head.',
                "{Hero} walked around the tree {number} times. Then {he} had an idea.",
            ),
            PARAGRAPH,
            (
                '"{Say}!" called {hero}. "If only I could hear it!"',
                '"Good day, dear crow," called {hero}. "{Say}!"',
            ),
            (
                "The crow puffed itself up and {deed}. Down fell the cheese, right in front of"
                " {him}.",
                "The crow felt flattered. It opened its beak and {deed}, and the cheese fell down.",
            ),
            maybe(
                '{Hero} snatched it up and laughed. "Thank you very much!"',
                "Snap! {Hero} had it, and the crow had nothing.",
            ),
            PARAGRAPH,
            (
                "But as {he} sat down to eat, {he} saw a tear on the crow's beak.",
                'But {intro2} had seen it all.{fact friend} "That was for the little ones in the'
                ' nest," said {friend}.',
                'But the crow began to laugh too. "The good piece is up here," it said.',
            ),
            (
                "So {he} gave half of it back, and then the crow sang after all. It was terrible,"
                " and {hero} clapped.",
                '"You win," said {hero}. "Shall we share?" And so they did.',
                "{Hero} thought about that all night. From then on {he} only played tricks that"
                " made both sides laugh.",
                "The next day {hero} brought a whole cheese and put it under the tree.",
            ),
        ),
    ),
)
